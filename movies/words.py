"""The words of a text as search compares them, and the keys that films are found by.

Python makes them all, from `broker.text.folded`: what a letter is, what it is without its accent and where a
word ends is the same on every database, whatever its locale.
"""

import re
import unicodedata
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice, pairwise
from typing import Final

from broker.text import folded, kept

# What is looked for of a word, in a film as in a query.
WORD_LETTERS: Final = 40
# Of a title without its blanks: more than any has. A B-tree takes a key of 2,704 bytes at most.
KEY_LETTERS: Final = 100
SPELLING_LETTERS: Final = 200
# What is looked for, of all that a query holds.
QUERY_WORDS: Final = 12
# A slip of the finger in a longer title is found by its words.
SLIP_LETTERS: Final = range(2, 65)
# In shorter words every other word is a slip away.
SLIP_WORD_LETTERS: Final = range(4, WORD_LETTERS)
SLIPS: Final = 400

# Titles are called with and without them.
ARTICLES: Final = frozenset(
    [
        *["a", "an", "the", "and", "der", "die", "das", "des", "ein", "eine", "o", "os", "as"],
        *["le", "la", "les", "l", "un", "une", "el", "los", "las", "lo", "il", "gli", "una"],
    ]
)

_APOSTROPHES = "'’‘ʼ′`´ʻ＇"
_TYPED = str.maketrans(dict.fromkeys(_APOSTROPHES, "") | {"＆": "&"})
_ELISION = re.compile(rf"[^\W\d_]{{1,2}}[{_APOSTROPHES}](?=[^\W_]{{3}})")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
# Accents and optional vowel points. Vowels of Indic and Thai, and the dakuten of Japanese, stay: they tell
# words apart.
_ACCENTS = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u0655\u0670]"
)
_PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŧ": "t"}
)
# Scripts that put no blanks between words.
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+)"
)
_FOREIGN = re.compile(r"[^\x00-\x7f]")
_INITIALS = re.compile(r"(?<![^\W_])[^\W\d_](?:[.*][^\W\d_](?![^\W_]))+")


def _classes() -> tuple[str, str]:
    """The marks that belong to a letter, and the numbers that stand high, low or as a fraction."""
    marks, numbers = [], []
    for point in range(0xA0, 0x1E960):
        character = chr(point)
        if unicodedata.category(character).startswith("M") and not 0x20D0 <= point <= 0x20FF:
            marks.append(character)
        elif unicodedata.decomposition(character).startswith(("<super>", "<sub>", "<fraction>")):
            numbers.append(character)
    return "".join(marks), "".join(numbers)


_MARKS, _NUMBERS = _classes()
_WORD = re.compile(rf"(?:[^\W_]|[{_MARKS}])+")
_NUMBER = re.compile(rf"(?<=[^\W_])(?=[{_NUMBERS}])")


def words(text: str) -> list[str]:
    """The words of `text` in their order, each without case, accents and apostrophes.

    What is no letter or digit parts them, but for the dots of initials (`S.W.A.T.`, `M*A*S*H`). `&` is `and`.
    """
    text = _NUMBER.sub(" ", kept(text).translate(_TYPED))
    if not _WORD.search(text):
        return []
    text = text.replace("&", " and ")
    plain = _ACCENTS.sub("", unicodedata.normalize("NFD", folded(text))).translate(_PLAIN)
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFC", plain)).replace("\u2044", "/")
    plain = _INITIALS.sub(lambda found: re.sub("[.*]", "", found[0]), plain)
    return _WORD.findall(plain)


def without_articles(found: list[str]) -> list[str]:
    """The words that tell titles apart; all of them where they are nothing but articles."""
    return [word for word in found if word not in ARTICLES] or found


def joined(found: list[str], text: str) -> str:
    """The words of `text` as one key: how they are parted does not matter.

    Of a text that has none (`$`, `???`, an emoji), its signs are the key.
    """
    return ("".join(found) or "".join(folded(text).split()))[:KEY_LETTERS]


def lexemes(found: list[str]) -> list[str]:
    """What the words of a film are indexed as, sorted: themselves, or pairs of letters without blanks."""
    return sorted({lexeme for word in found for lexeme in _pieces(word, last=True)})


def terms(found: list[str]) -> list[str]:
    """The first lexemes, QUERY_WORDS at most, all of which a film must have to hold the words of a query."""
    wanted = dict.fromkeys(term for word in found[:QUERY_WORDS] for term in _pieces(word, last=False))
    return list(wanted)[:QUERY_WORDS]


def _pieces(word: str, *, last: bool) -> Iterator[str]:
    """`last`: with the last letter of a run alone, so that a query of one letter finds it there as well."""
    for piece in _UNSPACED.split(word):
        if not _UNSPACED.match(piece):
            if piece:
                yield piece[:WORD_LETTERS]
            continue
        yield from (one + other for one, other in pairwise(piece))
        if last or len(piece) == 1:
            yield piece[-1]


def is_unspaced(term: str) -> bool:
    """Whether `term` is of a script without blanks: then it is a pair of letters, or a single one."""
    return _UNSPACED.fullmatch(term) is not None


def written_otherwise(text: str) -> list[str]:
    """How else words of `text` are written: `Spider-Man` as one word, `L'Avventura` without its article."""
    parts = text.split()
    parted = [words(part) for part in parts]
    compounds = ["".join(found) for found in parted if 1 < len(found) <= 4]
    return compounds + [
        word for part in parts if _ELISION.match(part) for word in words(_ELISION.sub("", part))
    ]


def spelling(found: list[str]) -> str:
    """The words in ASCII letters and digits, for pg_trgm, which asks the locale what another letter is."""
    return _FOREIGN.sub(lambda letter: f"{ord(letter[0]):x}", " ".join(found))[:SPELLING_LETTERS]


def title_slips(*keys: str) -> set[int]:
    """What a title shares with a query for all of it in which a letter is wrong, missing, doubled or swapped.

    Two texts that a single slip parts are the same once a letter is taken from one or both (Mor and Fraenkel,
    "A hash code method for detecting and correcting spelling errors", CACM 1982; Garbe's SymSpell). A number
    stands for each text that taking none or one letter leaves.
    """
    return {_number("t", text) for key in set(keys) if len(key) in SLIP_LETTERS for text in _left(key)}


def word_slips(word: str) -> set[int]:
    """What a word shares with the same one misspelt by a slip; nothing for a short word."""
    if len(word) not in SLIP_WORD_LETTERS:
        return set()
    return {_number("w", text) for text in _left(word)}


def slips(title: list[str], text: str, people: list[str]) -> list[int]:
    """What a film shares with misspelt queries: by the words of its title `text` and of its `people`."""
    whole = title_slips(joined(title, text), joined(without_articles(title), text))
    parts = (number for word in dict.fromkeys(title + people) for number in word_slips(word))
    return sorted(dict.fromkeys([*whole, *islice(parts, SLIPS)]))


def _left(text: str) -> set[str]:
    return {text, *(text[:place] + text[place + 1 :] for place in range(len(text)))}


def _number(kind: str, text: str) -> int:
    digest = blake2b(text.encode(), digest_size=8, person=kind.encode()).digest()
    return int.from_bytes(digest, "big", signed=True)
