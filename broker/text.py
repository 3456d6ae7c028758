"""The one form of text: what is kept, what is compared, and what may come in.

Python decides all of it, by the Unicode of its own `unicodedata`; no database and no locale is ever asked.
What is compared is stored beside what is shown, in a column of its own, under `COLLATE "C"`.

What refuses a text raises ValueError with a reason that fits behind a field's name: "must not hold U+202E …".
"""

import re
import unicodedata
from collections.abc import Iterator

# A letter carries no more marks than that, by Unicode's Stream-Safe Text Format (UAX #15); ordering them
# takes the square of their number.
MOST_MARKS = 30
ZWNJ, ZWJ = "\u200c", "\u200d"

# The visible ones among the format characters: signs that stand before a number, an abbreviation, a chapter.
_SIGNS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
# Format characters that ordinary text of several lines has: where a word may or may not break, its direction.
_BREAKS = frozenset("\u00ad\u061c\u200b\u200e\u200f\u2060\ufeff")
_LINE_ENDS = {"\r\n": "\n", "\r": "\n", "\u2028": "\n", "\u2029": "\n"}
# What has the category of a letter, a mark or a symbol, and leaves nothing on the screen.
FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U0001d159")
# The same letter in another shape: nothing, after anything else.
_SELECTORS = ((0x180B, 0x180D), (0x180F, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
# Unicode promises to put emoji, or ideographs, here: newer ones than this Python knows are welcome.
_TO_COME = ((0x1F000, 0x1FAFF), (0x20000, 0x3FFFD))
_TAGS = (0xE0020, 0xE007F)
_FLAG = "\U0001f3f4"
# Scripts whose spelling needs joiners, by what the names of their characters begin with.
_JOINING = (
    *("ARABIC", "SYRIAC", "THAANA", "NKO", "MANDAIC", "MONGOLIAN", "ADLAM", "DEVANAGARI", "BENGALI"),
    *("GURMUKHI", "GUJARATI", "ORIYA", "TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA", "KHMER"),
    *("MYANMAR", "TIBETAN", "BALINESE", "JAVANESE", "GRANTHA", "NEWA", "TIRHUTA", "CHAKMA", "MEETEI"),
)


def _too_many_marks() -> re.Pattern[str]:
    """Finds what is slow to bring into order. Three characters fall apart into marks, and are none."""
    found = (
        c for c in map(chr, range(0x300, 0x20000)) if unicodedata.combining(c) or c in "\u0f73\u0f75\u0f81"
    )
    return re.compile(f"[{''.join(_ranges(found))}]{{{MOST_MARKS + 1}}}")


def _ranges(characters: Iterator[str]) -> Iterator[str]:
    """Ascending characters as the ranges of a pattern."""
    first = last = next(characters)
    for character in characters:
        if ord(character) != ord(last) + 1:
            yield f"{first}-{last}"
            first = character
        last = character
    yield f"{first}-{last}"


_TOO_MANY_MARKS = _too_many_marks()


def kept(text: str) -> str:
    """`text` as it is stored and shown: in NFC, so that the same letters are the same bytes.

    For what is stored already, or short; what comes from outside goes through one of those below.
    """
    return unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """The key under which `text` is compared: the same for whatever reads the same.

    NFKC and case folding until neither changes anything (Unicode's toNFKC_Casefold, but for the characters
    that it ignores), with each run of white space as one blank and none at the ends. For a text that is in
    form already, or a short one.
    https://www.unicode.org/versions/Unicode17.0.0/core-spec/chapter-3/#G34078
    """
    key = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", text).casefold())
    key = unicodedata.normalize("NFKC", key.casefold())
    return " ".join(key.split())


def _composed(text: str) -> str:
    """`kept`, for what comes from outside. Raises ValueError where more marks follow one another than any
    letter carries: that would take its time.
    """
    if text.isascii():
        return text
    if _TOO_MANY_MARKS.search(text):
        raise ValueError(f"must not pile more than {MOST_MARKS} marks on a letter")
    return kept(text)


def line(text: str) -> str:
    """One line as it is kept, without the blanks around it; it may be empty.

    Raises ValueError for what would end the line, what cannot be seen and changes what can (controls, the
    directions of writing, joiners where no script and no emoji needs them), what no standard gives a meaning
    (private use, unassigned), and a text that is not empty and shows nothing.
    """
    return _visible(_checked(_composed(text.strip()), frozenset("\u2800")))


def paragraphs(text: str) -> str:
    """Text of several lines as it is kept: lines end in \\n, tabs stay, no other control does.

    Raises ValueError as `line` does, but for the format characters that ordinary prose has.
    """
    for end, ours in _LINE_ENDS.items():
        text = text.replace(end, ours)
    return _visible(_checked(_composed(text.strip()), _BREAKS | FILLERS | {"\n", "\t"}))


def sought(text: str) -> str:
    """What somebody looks for: in NFC, without the blanks around it; what can be in no text finds nothing.

    Raises ValueError for marks without end.
    """
    return _composed(text.strip())


def flattened(text: str) -> str:
    """`text` as one line, whatever it holds: what `line` refuses is a blank. For what is in the database."""
    return " ".join("".join(" " if _is_strange(each) else each for each in text).split())


def password(text: str) -> str:
    """A password as it is hashed, the same from every keyboard: RFC 8265's OpaqueString.

    NFC, each kind of blank as a blank; nothing else is changed or refused.
    """
    blanks = "".join(" " if unicodedata.category(each) == "Zs" else each for each in text)
    return unicodedata.normalize("NFC", blanks)


def is_unseen(character: str) -> bool:
    """Whether it is no format character and leaves nothing on the screen all the same."""
    return character in FILLERS or _is_selector(character)


def shows_nothing(text: str) -> bool:
    """Whether no character of `text` can be seen by itself: it has blanks, marks and the invisible alone."""
    return all(
        each in FILLERS or _is_strange(each) or unicodedata.category(each)[0] in "ZM" for each in set(text)
    )


def _visible(text: str) -> str:
    if text and shows_nothing(text):
        raise ValueError("must hold something that can be seen")
    return text


def _checked(text: str, allowed: frozenset[str]) -> str:
    if text.isascii() and text.isprintable():
        return text
    strange = {each for each in set(text) if _is_strange(each)} - allowed
    for each in strange:
        if not (each in (ZWNJ, ZWJ) or _is_tag(each) or _is_selector(each)):
            raise ValueError(f"must not hold U+{ord(each):04X}, a control or an invisible character")
    if strange:
        _check_joins(text, strange)
    return text


def _is_strange(character: str) -> bool:
    """Whether it has no place in a line by itself: a control, a format character, an end of line, what leaves
    nothing on the screen, what is no character yet."""
    category = unicodedata.category(character)
    if is_unseen(character):
        return True
    if category == "Cn":
        number = ord(character)
        return not any(first <= number <= last and number & 0xFFFE != 0xFFFE for first, last in _TO_COME)
    return (category[0] == "C" and character not in _SIGNS) or category in ("Zl", "Zp")


def _check_joins(text: str, strange: set[str]) -> None:
    """Raises ValueError for a joiner that joins nothing, a tag that makes no flag, a shape of no letter."""
    for place, each in enumerate(text):
        if each not in strange:
            continue
        before, after = text[place - 1 : place], text[place + 1 : place + 2]
        if _is_tag(each):
            fits = before == _FLAG or (before != "" and _is_tag(before))
        elif _is_selector(each):
            fits = before != "" and not (before.isspace() or before in strange)
        else:
            fits = _fits_joiner(before, each, after)
        if not fits:
            raise ValueError(f"must not hold U+{ord(each):04X} where it changes nothing")


def _is_tag(character: str) -> bool:
    return _TAGS[0] <= ord(character) <= _TAGS[1]


def _is_selector(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _SELECTORS)


def _fits_joiner(before: str, joiner: str, after: str) -> bool:
    if not before or not after:
        return False
    if joiner == ZWJ and _is_pictograph(after):
        return _is_pictograph(before) or before == "\ufe0f"
    return _joins(before) and _joins(after)


def _is_pictograph(character: str) -> bool:
    return character > "\u2000" and unicodedata.category(character) in ("So", "Sk", "Cn")


def _joins(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM" and unicodedata.name(character, "").startswith(_JOINING)
