"""The ways in which films are found by what people type, as SQL, and how close a film is that each finds.

The values that the SQL names are `Wanted.values()`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from movies.storage.filters import Filters
from movies.storage.wanted import Wanted

# A search by words ends after so many films.
MOST: Final = 1000

# How close a film is, by the way it was found: what comes first among the results.
SAME_TITLE: Final = 100
SAME_LETTERS: Final = 95
SAME_BUT_ARTICLES: Final = 90
NEAR_YEAR: Final = 87
OTHER_YEAR: Final = 85
BEGINS: Final = 80
BEGINS_BUT_ARTICLES: Final = 78
SLIP: Final = 70
TITLE_WORDS: Final = 60
TITLE_WORDS_BUT_ARTICLES: Final = 55
NAMES: Final = 40
SHORT_SLIP: Final = 35
TEXT: Final = 20
WORD_SLIPS: Final = 15
ALIKE: Final = 5

# The least word similarity, of pg_trgm, at which a name counts as meant.
ALIKE_SHARE: Final = 0.4
# A slip in fewer letters than these is as likely to be another word.
CERTAIN_LETTERS: Final = 8


@dataclass(frozen=True)
class Way:
    """One way to find films: which fit, how close those are, and how many are looked at, `first` first."""

    fits: str
    closeness: int | str
    most: int
    first: str = ""

    def sql(self, filters: Filters, *more: str) -> str:
        """A query for the `id` and `closeness` of at most `most` films that fit the filters and `more`."""
        stats = " JOIN movie_stats ON movie_id = id" if filters.stats else ""
        conditions = " AND ".join((f"({self.fits})", *filters.conditions, *more))
        order = f" ORDER BY {self.first}" if self.first else ""
        return (
            f"(SELECT id, {self.closeness} AS closeness FROM movies{stats} "  # noqa: S608 - our own words alone
            f"WHERE {conditions}{order} LIMIT {self.most})"
        )


def ways(wanted: Wanted) -> Iterator[Way]:
    """All ways but the loosest, `alike`."""
    yield from by_title(wanted)
    yield from _by_words(wanted)
    yield from by_slips(wanted)


def by_title(wanted: Wanted) -> Iterator[Way]:
    """The same title, titles that begin so, and titles that hold the words or their beginnings."""
    joined, bare = wanted.named("joined"), wanted.named("bare")
    # All that was typed may be a title: only then is its last number the year of a film without it.
    less = 0 if wanted.year is None else 1
    closeness = (
        f"CASE WHEN title_key = {wanted.named('key')} THEN {SAME_TITLE - less}"
        f" WHEN title_joined = {joined} THEN {SAME_LETTERS - less} ELSE {SAME_BUT_ARTICLES - less} END"
    )
    yield Way(_same(wanted), closeness, 100)
    if wanted.words:
        yield Way(_begins("title_joined", joined), BEGINS, 300, "title_joined")
    if wanted.articles_only:
        return
    yield Way(_begins("title_bare", bare), BEGINS_BUT_ARTICLES, 300, "title_bare")
    yield Way(_holds("title_words", wanted.named("terms")), TITLE_WORDS, 400)
    if wanted.bare_terms != wanted.terms:
        yield Way(_holds("title_words", wanted.named("bare_terms")), TITLE_WORDS_BUT_ARTICLES, 200)


def _by_words(wanted: Wanted) -> Iterator[Way]:
    """Films whose title and director, or all of whose texts, hold the words."""
    if not wanted.articles_only:
        yield Way(_holds("name_words", wanted.named("bare_terms")), NAMES, 200)
        yield Way(_holds("all_words", wanted.named("bare_terms")), TEXT, 200)


def by_slips(wanted: Wanted) -> Iterator[Way]:
    """Films with this title but for a slip, and films with these words but for one in each."""
    if wanted.title_slips:
        closeness = SLIP if len(wanted.bare) >= CERTAIN_LETTERS else SHORT_SLIP
        yield Way(_shares(wanted.named("title_slips")), closeness, 100)
    if wanted.word_slips:
        fits = [_shares(wanted.named(f"word_slips_{place}")) for place in range(len(wanted.word_slips))]
        if wanted.short_terms:
            fits.append(_holds("name_words", wanted.named("short_terms")))
        yield Way(" AND ".join(fits), WORD_SLIPS, 200)


def of_year(wanted: Wanted, years_off: int = 0) -> str:
    """A condition: released in the year that `wanted` was typed with, or so many before or after."""
    year = f"CAST({wanted.named('year')} AS integer)"
    first, last = f"make_date({year} - {years_off}, 1, 1)", f"make_date({year} + {years_off}, 12, 31)"
    return f"release_date BETWEEN {first} AND {last}"


def of_other_years(wanted: Wanted, filters: Filters) -> list[str]:
    """Queries for the title that was typed with a year of which there is none."""
    return [
        Way(_same(wanted), NEAR_YEAR, 50).sql(filters, of_year(wanted, 1)),
        Way(_same(wanted), OTHER_YEAR, 50).sql(filters),
    ]


def scored(wanted: Wanted, queries: Sequence[str], alike: str = "") -> str:
    """SQL for `id` and `score`, the higher the closer: each film once, MOST at most.

    A score is the closeness and, below one, how much of the title was named and how well known the film is.
    `alike`: a query that is asked only where `queries` find nothing by its name.
    """
    joined, bare, spelling = (wanted.named(name) for name in ("joined", "bare", "spelling"))
    distance = f"least(levenshtein(title_joined, {joined}), levenshtein(title_bare, {bare}))"
    return f"""
        WITH close AS MATERIALIZED (
            SELECT id, max(closeness) AS closeness FROM ({" UNION ALL ".join(queries)}) AS ways GROUP BY id
        ), found AS (SELECT id, closeness FROM close {f"UNION ALL {alike}" if alike else ""})
        SELECT found.id, CAST(closeness + (
            CASE WHEN closeness IN ({SLIP}, {SHORT_SLIP}) THEN 1 / (1.0 + {distance})
                WHEN closeness < {TEXT} THEN word_similarity({spelling}, spelling)
                ELSE least(char_length({bare}) / greatest(char_length(title_bare), 1.0), 1.0) END
            + ln(1.0 + review_count) / (ln(1.0 + review_count) + 2) + coalesce(rating, 0) / 100
        ) / 2.2 AS double precision) AS score
        FROM found JOIN movies USING (id) JOIN movie_stats ON movie_id = found.id
        ORDER BY score DESC, id LIMIT {MOST}
    """  # noqa: S608 - our own words alone


def alike(wanted: Wanted, filters: Filters) -> str:
    """A query for films with a name that shares most of its trigrams with what was typed.

    Those of words typed right find what is nothing like them: it is for where no name was found.
    """
    spelling = wanted.named("spelling")
    way = Way(f"spelling %> {spelling}", ALIKE, 50, f"word_similarity({spelling}, spelling) DESC")
    # Set for this statement alone, by a condition that comes before the index is asked.
    threshold = f"(SELECT set_config('pg_trgm.word_similarity_threshold', '{ALIKE_SHARE}', true)) IS NOT NULL"
    return way.sql(filters, f"NOT EXISTS (SELECT FROM close WHERE closeness <> {TEXT})", threshold)


def _same(wanted: Wanted) -> str:
    return f"title_joined = {wanted.named('joined')} OR title_bare = {wanted.named('bare')}"


def _begins(key: str, beginning: str) -> str:
    return f"{key} >= {beginning} AND {key} < {beginning} || U&'\\+10FFFF'"


def _holds(words: str, query: str) -> str:
    return f"{words} @@ CAST({query} AS tsquery)"


def _shares(slips: str) -> str:
    # Asked for by a query of its own, whose answer the planner does not know: of each of these numbers it
    # would believe that one film in 200 has it, and read the whole table until enough are found.
    return f"slips && (SELECT CAST({slips} AS bigint[]))"
