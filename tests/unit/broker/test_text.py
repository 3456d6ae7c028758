"""The one form of text: what is kept, compared and refused."""

from __future__ import annotations

import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import text

EVERY = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
WALES = "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Amélie", "Ame\u0301lie"),
        ("Science  Fiction", " science\u00a0fiction\t"),
        ("STRASSE", "straße"),
        ("ＡＬＩＥＮ", "alien"),
        ("νίκοΣ", "ΝΊΚΟς"),
        ("İx", "i\u0307X"),
        ("ﬁlm", "FILM"),
        ("가", "\u1100\u1161"),
    ],
)
def test_what_reads_the_same_has_one_key(one: str, other: str) -> None:
    assert text.folded(one) == text.folded(other)


def test_folding_is_a_fixed_point_for_every_character() -> None:
    assert [each for each in EVERY if text.folded(text.folded(each)) != text.folded(each)] == []


@given(st.text(max_size=40))
def test_whatever_is_kept_is_in_nfc_and_is_kept_again_as_it_is(given: str) -> None:
    for form in (text.line, text.paragraphs):
        try:
            kept = form(given)
        except ValueError as refusal:
            assert str(refusal).startswith("must ")
            continue
        assert unicodedata.is_normalized("NFC", kept)
        assert form(kept) == kept


@pytest.mark.parametrize(
    "line",
    [
        *[
            "Alien",
            "Amélie",
            "千と千尋の神隠し",
            "สยาม",
            "Ταξίδι",
            "עזרה",
            "Mission: Impossible – Fallout",
            "50\u00a0%",
        ],
        *["می\u200cخواهم", "क्\u200dष", "ශ්\u200dරී ලංකා", FAMILY, WALES, "❤\ufe0f\u200d🔥", "🏳\ufe0f\u200d🌈"],
        *["1\ufe0f\u20e3", "葛\U000e0100城", "\U0001fae8", "x\u0302\u0323", "٪ ٢٠٠٪", "\u0601٥"],
    ],
)
def test_what_people_write_is_a_line(line: str) -> None:
    assert text.line(f" {line} ") == unicodedata.normalize("NFC", line)
    assert text.paragraphs(line) == unicodedata.normalize("NFC", line)


CONTROLS = ["\0", "\n", "\r", "\t", "\v", "\f", "\x1b", "\x7f", "\x85", "\x9b", "\x1c"]
SEPARATORS = ["\u2028", "\u2029"]
DIRECTIONS = ["\u200e", "\u200f", "\u061c", *map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)])]
UNSEEN = [
    "\u200b",
    "\u2060",
    "\ufeff",
    "\u00ad",
    "\u034f",
    "\u115f",
    "\u1160",
    "\u3164",
    "\uffa0",
    "\u17b4",
    "\u180e",
]
NOTHING = [
    "\ue000",
    "\U000f0000",
    "\u0378",
    "\ufdd0",
    "\uffff",
    "\U0001ffff",
    "\U000e0001",
    "\U000e0041",
    "\ufff9",
]
JOINERS = ["\u200c", "\u200d"]


@pytest.mark.parametrize(
    "each",
    [*CONTROLS, *SEPARATORS, *DIRECTIONS, *UNSEEN, *NOTHING, *JOINERS],
    ids=lambda each: f"{ord(each):04X}",
)
@pytest.mark.parametrize("around", ["a{}b", "{} b", "Amélie {} 2", "千{}尋"])
def test_what_ends_a_line_or_cannot_be_seen_is_refused(each: str, around: str) -> None:
    if (given := around.format(each)).strip() == given:
        with pytest.raises(ValueError, match=f"U\\+{ord(each):04X}"):
            text.line(given)


@pytest.mark.parametrize(
    "alone", ["\u200d", "\u200b", "\u3164", "\u0301", "\ufe0f", "\u2800", "\u115f\u1160", "\u034f"]
)
def test_what_shows_nothing_is_no_line(alone: str) -> None:
    for form in (text.line, text.paragraphs):
        with pytest.raises(ValueError, match="must "):
            form(alone * 3)


@pytest.mark.parametrize(
    "around", ["\u200dalien", "alien\u200d", "ali\u200den", "क\u200d", "\u200d🔥", "🔥\u200d", "👍\u200dx"]
)
def test_a_joiner_that_joins_nothing_is_refused(around: str) -> None:
    for form in (text.line, text.paragraphs):
        with pytest.raises(ValueError, match="U\\+200D"):
            form(around)


def test_lines_end_in_one_way_and_tabs_stay() -> None:
    assert text.paragraphs(" a\r\nb\rc\u2028d\u2029e\n\tf ") == "a\nb\nc\nd\ne\n\tf"


@pytest.mark.parametrize(
    "each", ["\0", "\v", "\x1b", "\x85", "\u202e", "\u2066", "\ue000", "\ufdd0", "\U000e0041"]
)
def test_paragraphs_hold_no_other_control_and_no_direction_that_lasts(each: str) -> None:
    with pytest.raises(ValueError, match=f"U\\+{ord(each):04X}"):
        text.paragraphs(f"a{each}b")


@pytest.mark.parametrize("each", ["\u200e", "\u200f", "\u00ad", "\u200b", "\u2060"])
def test_paragraphs_hold_what_prose_has(each: str) -> None:
    assert text.paragraphs(f"a{each}b") == f"a{each}b"


def test_marks_without_end_are_refused_before_they_cost_anything() -> None:
    began = time.process_time()
    for form in (text.line, text.paragraphs, text.sought):
        with pytest.raises(ValueError, match="30 marks"):
            form("a" + "\u0301\u0323" * 500_000)
    assert time.process_time() - began < 1


def test_the_longest_texts_cost_little() -> None:
    worst = [
        "क्\u200d" * 40_000 + "क",
        "\U0001d4d0" * 60_000,
        "".join(EVERY[0x4E00:0x9FFF]) * 3,
        "x\u0301\u0323" * 40_000,
    ]
    began = time.process_time()
    for each in worst:
        text.folded(text.line(each))
        text.paragraphs(each)
    assert time.process_time() - began < 2


def test_what_is_in_a_room_is_one_line_whatever_was_in_the_database() -> None:
    assert text.flattened("a\nb\u2028c\u202ed\u200b\x1be") == "a b c d e"
    assert text.flattened("Alien") == "Alien"


@pytest.mark.parametrize("typed", ["pässwört", "pa\u0308sswo\u0308rt", "pa\u0308sswört"])
def test_a_password_is_the_same_from_every_keyboard(typed: str) -> None:
    assert text.password(typed) == "pässwört"


def test_a_password_keeps_case_width_and_its_blanks() -> None:
    assert text.password(" Ａ\u00a0b\u3000C ") == " Ａ b C "
