"""A username means one account: nobody takes one that looks like another's, or like the platform's own."""

from __future__ import annotations

import pytest

from tests.clients import Account, Api, sign_up
from tests.contract.expect import assert_error, get, unique
from tests.contract.test_accounts import registration


@pytest.fixture(scope="module")
def name(gateway: str, anyone: Api) -> str:
    """A name that somebody has: letters that have likenesses, and others that make it unique."""
    taken = f"alicescope{unique()[:12]}"
    assert anyone.post("/api/auth/register", registration(username=taken)).status_code == 201
    return taken


IMPOSTORS = {
    "its capitals": str.upper,
    "I for l": lambda name: name.replace("l", "I"),
    "1 for l": lambda name: name.replace("l", "1"),
    "l for i, in capitals": lambda name: name.upper().replace("I", "l"),
    "0 for o": lambda name: name.replace("o", "0"),
    "Cyrillic а": lambda name: name.replace("a", "а"),
    "Cyrillic с": lambda name: name.replace("c", "с"),
    "Greek ο": lambda name: name.replace("o", "ο"),
    "Latin ɑ": lambda name: name.replace("a", "ɑ"),
    "dotless ı": lambda name: name.replace("i", "ı"),
    "full width": lambda name: "".join(chr(ord(each) + 0xFEE0) for each in name),
    "bold": lambda name: name.replace("a", "𝐚"),
    **{
        f"U+{code:04X} {place}": lambda name, code=code, at=at: name[:at] + chr(code) + name[at:]
        for code in (
            0x200B,
            0x200C,
            0x200D,
            0x34F,
            0x3164,
            0x115F,
            0xFE0F,
            0xAD,
            0x2060,
            0x202E,
            0x61C,
            0x180B,
        )
        for place, at in (("after it", 99), ("in it", 3), ("before it", 0))
    },
}


@pytest.mark.parametrize("impostor", IMPOSTORS.values(), ids=IMPOSTORS)
def test_nobody_registers_what_looks_like_anothers_name(anyone: Api, name: str, impostor: type[str]) -> None:
    assert_error(
        anyone.post("/api/auth/register", registration(username=impostor(name))), 400, fields={"username"}
    )


@pytest.mark.parametrize("how", ["its capitals", "I for l", "0 for o", "dotless ı"])
def test_nobody_changes_to_what_looks_like_anothers_name(gateway: str, name: str, how: str) -> None:
    user = sign_up(gateway)
    impostor = IMPOSTORS[how](name)
    assert_error(user.change(username=impostor), 400, "Username already exists", fields={"username"})
    assert get(user.api, "/api/auth/me")["username"] == user.username


@pytest.mark.parametrize("how", ["its capitals", "I for l", "0 for o", "dotless ı", "Latin ɑ"])
def test_a_name_that_is_taken_says_so(anyone: Api, name: str, how: str) -> None:
    response = anyone.post("/api/auth/register", registration(username=IMPOSTORS[how](name)))
    assert_error(response, 400, "Username already exists", fields={"username"})


@pytest.mark.parametrize(
    "reserved",
    [
        *[
            "admin",
            "Admin",
            "ADMIN",
            "аdmin",
            "ａdmin",
            "adm1n",
            "ADMlN",
            "ad.min",
            "-admin-",
            "administrator",
            "root",
        ],
        *[
            "system",
            "support",
            "moderator",
            "rnoderator",
            "api",
            "null",
            "undefined",
            "everyone",
            "all",
            "here",
            "staff",
        ],
    ],
)
def test_the_platforms_own_names_are_nobodys(anyone: Api, reserved: str) -> None:
    assert_error(anyone.post("/api/auth/register", registration(username=reserved)), 400, fields={"username"})


@pytest.mark.parametrize(
    "bad",
    [
        *[
            "ab",
            "x" * 33,
            "..",
            "...",
            "---",
            ".abc",
            "abc.",
            "\u200d\u200d\u200d",
            "\u3164\u3164\u3164",
            "a b c",
        ],
        *[
            "\u0301\u0301\u0301",
            "zoe\u0301\u0301\u0301\u0301",
            "pаypal",
            "alice山",
            "a٤b",
            "ab\u20dd",
            "abc\n",
            "a@b.cd",
            "ﬁfi",
        ],
    ],
)
def test_what_is_no_name_is_refused(anyone: Api, bad: str) -> None:
    assert_error(anyone.post("/api/auth/register", registration(username=bad)), 400, fields={"username"})


@pytest.mark.parametrize(
    "script",
    [
        "Zoë",
        "zoe\u0308",
        "Νίκος",
        "Ольга",
        "דניאל",
        "محمد",
        "राम",
        "山田太郎",
        "やまだタロー",
        "김철수",
        "น้ำฝน",
        "Łódź",
    ],
)
def test_a_name_of_any_one_script_is_welcome_once(anyone: Api, script: str) -> None:
    digits = str(int(unique()[:8], 16))
    body = registration(username=script + digits)
    assert anyone.post("/api/auth/register", body).status_code == 201
    again = registration(username=(script + digits).upper())
    assert_error(
        anyone.post("/api/auth/register", again), 400, "Username already exists", fields={"username"}
    )


@pytest.mark.parametrize("spell", [str.upper, str.title, str])
def test_ones_own_name_may_be_spelt_otherwise(gateway: str, spell: type[str]) -> None:
    user = sign_up(gateway)
    response = user.change(username=spell(user.username))
    assert response.status_code == 200, response.text
    assert get(user.api, "/api/auth/me")["username"] == spell(user.username)


def test_a_name_that_is_given_up_is_free(gateway: str, anyone: Api, alice: Account) -> None:
    user = sign_up(gateway)
    assert user.change(username=unique("other-")[:30]).status_code == 200
    assert anyone.post("/api/auth/register", registration(username=user.username)).status_code == 201
