"""Usernames: what may be taken, and what is one."""

from __future__ import annotations

import sys

import pytest

from auth import names

ALICE = "alice"


def taken_beside(name: str, other: str) -> bool:
    """Whether `name` cannot be registered where `other` is."""
    try:
        kept = names.username(name)
    except ValueError:
        return True
    mine, theirs = names.keys(kept), names.keys(other)
    return mine.username_key == theirs.username_key or mine.username_skeleton == theirs.username_skeleton


@pytest.mark.parametrize(
    "name",
    [
        *[
            "alice",
            "Alice-B_2.0",
            "Zoë",
            "zoe\u0308",
            "Łukasz",
            "Νίκος",
            "Здравствуй",
            "ми́р",
            "דניאל",
            "محمد٤",
            "नमस्ते",
        ],
        *[
            "山田太郎",
            "やまだタロー",
            "ヤマダー",
            "김철수",
            "น้ำฝน",
            "ÀÉÎ",
            "İxy",
            "straße",
            "x" * 32,
            "abc",
            "007",
            "_._a",
        ],
    ],
)
def test_letters_digits_and_punctuation_of_one_script_are_a_name(name: str) -> None:
    assert names.username(name)


@pytest.mark.parametrize(
    "name",
    [
        *[
            "",
            "ab",
            "x" * 33,
            "a" * 10_000,
            "...",
            "---",
            "_._",
            ".ab",
            "ab.",
            "two words",
            "a/b",
            "<b>",
            "a@b",
            "a\nb",
        ],
        *[
            f"alice{chr(code)}"
            for code in (0x200B, 0x200C, 0x200D, 0x34F, 0x3164, 0x115F, 0x1160, 0xFFA0, 0xAD, 0x180B)
        ],
        *[
            f"alice{chr(code)}"
            for code in (0xFE0F, 0xE0100, 0x2060, 0xFEFF, 0x202E, 0x61C, 0xE0041, 0x17B5, 0xE000, 0x378)
        ],
        *[
            "\u200d\u200d\u200d",
            "\u3164" * 3,
            "\u0301bob",
            "b\u0301\u0301\u0301b",
            "_\u0301ab",
            "1\u0301ab",
            "a\u20ddbc",
        ],
        *[
            "аlice",
            "ａｌｉｃｅ",
            "𝐚𝐥𝐢𝐜𝐞",
            "aliceａ",
            "ﬁona",
            "αlice",
            "a٤b",
            "१1१",
            "alice山",
            "ab①",
            "abⅣ",
            "xΣy",
            "ʻokina",
        ],
        *[
            "admin",
            "ADMIN",
            "аdmin",
            "Ａdmin",
            "adm1n",
            "ADMlN",
            "ad.min",
            "a_d-m.i-n",
            "admin_",
            "-root-",
            "r00t",
            "system",
        ],
        *[
            "support",
            "api",
            "null",
            "undefined",
            "everyone",
            "all",
            "here",
            "staff",
            "official",
            "security",
            "rnoderator",
        ],
    ],
)
def test_nobody_takes_another_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|is) "):
        names.username(name)


@pytest.mark.parametrize(
    "name",
    [
        *[
            "alice",
            "ALICE",
            "aIice",
            "a1ice",
            "aliсe",
            "ALlCE",
            "Аlice",
            "аӏісе",
            "ɑlice",
            "alıce",
            "a\u200dlice",
            "alіce",
        ],
        *[
            "ａｌｉｃｅ",
            "alice\u200d",
            "alice\u034f",
            "alice\u3164",
            "alic\u0435",
            "ⓐlice",
            "ᎪᏞᎥᏟᎬ",
            "alice\u0000",
        ],
    ],
)
def test_nobody_looks_like_alice(name: str) -> None:
    assert taken_beside(name, ALICE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *[
            ("modern", "rnodern"),
            ("vvilliam", "VVILLIAM"),
            ("b0b0", "bobo"),
            ("İxy", "i\u0307XY"),
            ("xyzΣ", "xyzς"),
        ],
        *[
            ("straße", "STRASSE"),
            ("Zoë", "zoe\u0308"),
            ("Νίκος", "ΝΊΚΟΣ"),
            ("paypal", "раураӏ"),
            ("scope", "ѕсоре"),
        ],
    ],
)
def test_two_that_look_alike_are_one(one: str, other: str) -> None:
    assert taken_beside(one, other)
    assert taken_beside(other, one)


@pytest.mark.parametrize(
    ("one", "other"), [("alice", "alicia"), ("bob", "rob"), ("zoe", "zoë"), ("user_1", "user_11")]
)
def test_two_that_differ_are_two(one: str, other: str) -> None:
    assert not taken_beside(one, other)


def test_a_skeleton_is_a_fixed_point_for_every_character() -> None:
    every = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
    assert [each for each in every if names.skeleton(names.skeleton(each)) != names.skeleton(each)] == []
