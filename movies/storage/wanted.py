"""What somebody types to find a film, taken apart."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from broker.text import folded
from movies import words

YEARS: Final = range(1870, 2200)
# A beginning of fewer letters is that of too many words.
BEGINNING_LETTERS: Final = 3
LAST_BEGINNING_LETTERS: Final = 2
# Misspelt words that are looked for; the rest of a longer query must be found by its title or its words.
SLIP_WORDS: Final = 5


@dataclass(frozen=True)
class Wanted:
    """A query, and its words.

    Everything made of it has a bound that does not depend on what was typed: of words, QUERY_WORDS count.
    """

    text: str
    words: tuple[str, ...]
    # Which was typed with it.
    year: int | None = None

    @classmethod
    def of(cls, text: str) -> "Wanted":
        return cls(text, tuple(words.words(text)))

    @cached_property
    def key(self) -> str:
        return folded(self.text)

    @cached_property
    def joined(self) -> str:
        return words.joined(list(self.words), self.text)

    @cached_property
    def bare(self) -> str:
        return words.joined(words.without_articles(list(self.words)), self.text)

    @property
    def articles_only(self) -> bool:
        """Whether there is no word by which to look among all the words of films."""
        return words.ARTICLES.issuperset(self.words)

    @cached_property
    def terms(self) -> str:
        """Its words as a tsquery, the last perhaps unfinished."""
        return _tsquery(words.terms(list(self.words)))

    @cached_property
    def bare_terms(self) -> str:
        return _tsquery(words.terms(words.without_articles(list(self.words))))

    @cached_property
    def spelling(self) -> str:
        return words.spelling(list(self.words[: words.QUERY_WORDS]))

    @cached_property
    def title_slips(self) -> list[int]:
        return sorted(words.title_slips(self.joined, self.bare))

    @cached_property
    def word_slips(self) -> list[list[int]]:
        """For each of its longer words what a film's must share; none where they are too many."""
        found = [words.word_slips(word) for word in self._long]
        return [sorted(slips) for slips in found] if len(found) <= SLIP_WORDS else []

    @cached_property
    def short_terms(self) -> str:
        """The words that are too short to be misspelt."""
        rest = [word for word in words.without_articles(list(self.words)) if word not in self._long]
        return _tsquery(words.terms(rest), unfinished=False)

    @cached_property
    def _long(self) -> list[str]:
        return [word for word in dict.fromkeys(self.words) if len(word) in words.SLIP_WORD_LETTERS]

    @cached_property
    def without_year(self) -> "Wanted | None":
        """The query without the year at its end, or at its beginning; None where there is none."""
        for year, rest in ((self.words[-1:], self.words[:-1]), (self.words[:1], self.words[1:])):
            if rest and re.fullmatch("[0-9]{4}", year[0]) and int(year[0]) in YEARS:
                return Wanted(" ".join(rest), rest, int(year[0]))
        return None

    def named(self, value: str) -> str:
        """How SQL names one of the `values`."""
        return f":{self._prefix}{value}"

    def values(self) -> dict[str, Any]:
        """All of it that SQL may ask for, by name."""
        names = (
            "key",
            "joined",
            "bare",
            "terms",
            "bare_terms",
            "short_terms",
            "spelling",
            "title_slips",
            "year",
        )
        values = {name: getattr(self, name) for name in names}
        values |= {f"word_slips_{place}": slips for place, slips in enumerate(self.word_slips)}
        return {f"{self._prefix}{name}": value for name, value in values.items()}

    @property
    def _prefix(self) -> str:
        return "q_" if self.year is None else "rest_"


def _tsquery(terms: list[str], *, unfinished: bool = True) -> str:
    """A tsquery for films that have all the `terms`, which are letters and digits only."""
    last = len(terms) - 1
    return " & ".join(
        f"'{term}':*" if unfinished and _may_begin(term, last=place == last) else f"'{term}'"
        for place, term in enumerate(terms)
    )


def _may_begin(term: str, *, last: bool) -> bool:
    """Whether films count whose words only begin with `term`."""
    if words.is_unspaced(term):
        return len(term) == 1
    return len(term) >= (LAST_BEGINNING_LETTERS if last else BEGINNING_LETTERS)
