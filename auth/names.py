"""Pure rules of usernames: which may be taken, and by what two of them are one.

A username is compared by its folded key, and by what it looks like: the skeleton of Unicode's Technical
Standard 39, from the table of `confusable_homoglyphs`. https://www.unicode.org/reports/tr39/
"""

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Final

from confusable_homoglyphs import categories, confusables

from broker.addresses import email_key
from broker.text import folded, is_unseen, kept

LEAST_CHARACTERS: Final = 3
MOST_CHARACTERS: Final = 32
# As they come, before they are in form: a letter can be some characters then.
MOST_SENT: Final = 4 * MOST_CHARACTERS
# Marks on one letter: what the spellings of living languages need.
MOST_MARKS: Final = 2
PUNCTUATION: Final = "_-."
# Vowels that count as compatibility characters, and are how Thai and Lao are written.
ORDINARY: Final = "\u0e33\u0eb3"
# Scripts that are written together count as one (TR39, 5.1).
TOGETHER: Final = (
    frozenset(("HAN", "HIRAGANA", "KATAKANA")),
    frozenset(("HAN", "BOPOMOFO")),
    frozenset(("HAN", "HANGUL")),
)
# Names that people would take for the platform's own, or programs for nothing.
RESERVED: Final = frozenset(
    (
        *("abuse", "admin", "administrator", "administrators", "admins", "all", "anonymous", "api", "auth"),
        *("everybody", "everyone", "help", "here", "hostmaster", "login", "logout", "me", "mod"),
        *("moderation", "moderator", "moderators", "mods", "nobody", "none", "noreply", "null", "official"),
        *("postmaster", "privacy", "root", "security", "self", "staff", "superuser", "support", "sysadmin"),
        *("system", "team", "undefined", "unknown", "webmaster", "www"),
    )
)


@dataclass(frozen=True)
class Keys:
    """What an account is found by, and compared with others; None where it has changed nothing there."""

    username_key: str | None = None
    username_skeleton: str | None = None
    email_key: str | None = None


def username(text: str) -> str:
    """A new username, as it is kept. Raises ValueError for one that nobody may take."""
    if len(text) > MOST_SENT:
        raise ValueError(f"must have at most {MOST_CHARACTERS} characters")
    name = kept(text)
    if not LEAST_CHARACTERS <= len(name) <= MOST_CHARACTERS:
        raise ValueError(f"must have {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters")
    _check_characters(name)
    if not any(each.isalnum() for each in name):
        raise ValueError("must hold a letter or a digit")
    if name.startswith(".") or name.endswith("."):
        raise ValueError("must not begin or end with a dot")
    if not _is_of_one_script(name):
        raise ValueError("must be written in one script")
    if _is_reserved(name):
        raise ValueError("is reserved")
    return name


def username_key(name: str) -> str:
    return folded(name)


def skeleton(name: str) -> str:
    """The same for all names that look alike (TR39, section 4), whatever their case.

    On the text as it is written first, then on what case folding makes of it, until nothing changes. I looks
    like l and i does not, so that these two are one: otherwise ALlCE would be another name than alice.
    """
    before, now = "", name
    while before != now:
        before, now = now, _prototype(now).casefold()
    return now.replace("i", "l")


def keys(name: str | None = None, address: str | None = None) -> Keys:
    """The keys of what an account has, or is going to have."""
    return Keys(
        None if name is None else username_key(name),
        None if name is None else skeleton(name),
        # What was taken in before there was this rule has a key as well.
        None if address is None else email_key(address) or folded(address),
    )


def _check_characters(name: str) -> None:
    """Raises ValueError for what is no letter, no digit and none of PUNCTUATION."""
    marks = 0
    for place, each in enumerate(name):
        category = unicodedata.category(each)
        marks = marks + 1 if category in ("Mn", "Mc") else 0
        compatible = unicodedata.decomposition(each).startswith("<") and each not in ORDINARY
        fits = each in PUNCTUATION or category[0] == "L" or category == "Nd" or (place > 0 and marks)
        if not fits or compatible or is_unseen(each) or marks > MOST_MARKS:
            raise ValueError(
                f"must be letters, digits and {' '.join(PUNCTUATION)} (it has U+{ord(each):04X})"
            )
        if marks and not name[place - 1].isalpha() and unicodedata.category(name[place - 1])[0] != "M":
            raise ValueError("must not hold a mark without a letter")


def _is_of_one_script(name: str) -> bool:
    """Whether the letters are of one script, or of some that are written together, and the digits are theirs,
    or those of everybody."""
    zeros = {ord(each) - unicodedata.decimal(each) for each in name if each.isdecimal()}
    scripts = {script for each in name if (script := _script(each)) is not None}
    return len(zeros) <= 1 and (len(scripts) <= 1 or any(scripts <= together for together in TOGETHER))


def _script(character: str) -> str | None:
    """Its script; None for what all scripts share: ASCII's digits and punctuation, and marks."""
    if character in PUNCTUATION or (character.isascii() and character.isdigit()):
        return None
    script = str(categories.alias(character))
    if character.isdecimal() and script == "COMMON":  # the digits of Arabic, which its neighbours use as well
        return unicodedata.name(character).partition(" ")[0].partition("-")[0].replace("EXTENDED", "ARABIC")
    if character == "\u30fc":  # the long vowel of both kana
        return "KATAKANA"
    return None if script == "INHERITED" else script


def _is_reserved(name: str) -> bool:
    bare = "".join(each for each in name if each not in PUNCTUATION)
    return folded(bare) in RESERVED or skeleton(bare) in _reserved_skeletons()


@cache
def _reserved_skeletons() -> frozenset[str]:
    spellings = (spelling for name in RESERVED for spelling in (name, name.title(), name.upper()))
    return frozenset(skeleton(spelling) for spelling in spellings)


def _prototype(text: str) -> str:
    prototypes = _prototypes()
    mapped = "".join(prototypes.get(each, each) for each in unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFD", mapped)


@cache
def _prototypes() -> dict[str, str]:
    """For each character what stands for all that look like it, where that is another.

    The table knows who looks like whom, both ways, and not which of them stands for all: it is the one that
    has several others, whereas each of those has that one alone. Of two that have each other it is the first.
    """
    table = {
        _unmarked(each): [_unmarked(other["c"]) for other in others]
        for each, others in confusables.confusables_data.items()
    }
    prototypes: dict[str, str] = {}
    for each, others in table.items():
        if len(each) == 1 and len(others) == 1:
            (other,) = others
            if len(table.get(other, ())) > 1 or (len(other), other) < (len(each), each):
                prototypes[each] = other
    return prototypes


def _unmarked(text: str) -> str:
    """Without the marks of direction that the table puts around letters of Hebrew and Arabic."""
    return text.replace("\u200e", "")
