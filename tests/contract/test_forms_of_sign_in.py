"""Whoever registered signs in: with the very same address, with every form of it, at every keyboard."""

from __future__ import annotations

import pytest

from tests.clients import Api, sign_up
from tests.contract.expect import assert_error, assert_message, unique
from tests.contract.test_accounts import registration

WRONG = "Invalid email or password"
# Forms of one address each. The first of all is registered, and any may be.
ADDRESSES = [
    [
        "jos\u00e9-{}@example.com",
        "jose\u0301-{}@example.com",
        "JOSE\u0301-{}@EXAMPLE.com",
        " Jos\u00e9-{}@example.com ",
    ],
    [
        "ann-{}@b\u00fccher.example",
        "ann-{}@xn--bcher-kva.example",
        "ann-{}@bu\u0308cher.example",
        "ann-{}@XN--BCHER-KVA.example",
    ],
    ["ann2-{}@example.com", "ann2-{}@ｅxample.com", "ＡＮＮ2-{}@example。com"],
    ["\u0130lker-{}@example.com", "i\u0307lker-{}@example.com", "I\u0307LKER-{}@example.com"],
    ["νίκοΣ-{}@example.com", "νίκος-{}@example.com", "ΝΊΚΟΣ-{}@example.com", "νι\u0301κοσ-{}@example.com"],
    ["straße-{}@example.com", "STRASSE-{}@example.com"],
    ["ﬁona-{}@example.com", "fiona-{}@example.com"],
]
CASES = [
    pytest.param(forms[first], forms, id=forms[first].encode("ascii", "backslashreplace").decode())
    for forms in ADDRESSES
    for first in range(len(forms))
]


@pytest.mark.parametrize(("registered", "forms"), CASES)
def test_whoever_registered_signs_in_with_every_form_of_the_address(
    anyone: Api, registered: str, forms: list[str]
) -> None:
    word = unique()[:12]
    body = registration(email=registered.format(word))
    assert_message(anyone.post("/api/auth/register", body), "User registered successfully", 201)
    for form in forms:
        login = {"email": form.format(word), "password": body["password"]}
        response = anyone.post("/api/auth/login", login)
        assert_message(response, "Login successful")
        assert response.json()["user"] == body["username"]
        again = registration(email=form.format(word))
        assert_error(anyone.post("/api/auth/register", again), 400, "Email already exists", fields={"email"})


@pytest.mark.parametrize("forms", ADDRESSES[:5])
def test_an_address_that_is_changed_to_is_found_by_every_form(
    gateway: str, anyone: Api, forms: list[str]
) -> None:
    user, word = sign_up(gateway), unique()[:12]
    assert user.change(email=forms[-1].format(word)).status_code == 200
    for form in forms:
        login = {"email": form.format(word), "password": user.password}
        assert_message(anyone.post("/api/auth/login", login), "Login successful")


@pytest.mark.parametrize(
    "email",
    [
        *[
            "",
            " ",
            "nobody",
            "@",
            "nobody@",
            "@example.com",
            "no body@example.com",
            "nobody@example",
            "\u200d",
            "x" * 900,
        ],
        *[
            "nobody@exa\u202emple.com",
            "nobody@[127.0.0.1]",
            "nobody@xn--\u2028.com",
            "e" + "\u0301\u0323" * 400,
            "＠",
        ],
    ],
)
def test_what_is_no_address_is_nobodys(anyone: Api, email: str) -> None:
    login = {"email": email, "password": "whatever it is"}
    assert_error(anyone.post("/api/auth/login", login), 401, WRONG, fields=set())


PASSWORDS = [
    ("pässwörter", "pa\u0308sswo\u0308rter"),
    (
        "가나다라마바사아",
        "\u1100\u1161\u1102\u1161\u1103\u1161\u1105\u1161\u1106\u1161\u1107\u1161\u1109\u1161\u110b\u1161",
    ),
    ("two\u00a0words\u3000and more", "two words and more"),
    ("Việt Nam ơi", "Vie\u0323\u0302t Nam o\u031bi"),
]


@pytest.mark.parametrize(("one", "other"), [*PASSWORDS, *(pair[::-1] for pair in PASSWORDS)])
def test_a_password_is_the_same_from_every_keyboard(anyone: Api, one: str, other: str) -> None:
    body = registration(password=one, confirm_password=other)
    assert_message(anyone.post("/api/auth/register", body), "User registered successfully", 201)
    for typed in (one, other):
        login = {"email": body["email"], "password": typed}
        assert_message(anyone.post("/api/auth/login", login), "Login successful")
    for wrong in (one.upper() + "x", one[:-1], "passworter"):
        assert_error(anyone.post("/api/auth/login", {**login, "password": wrong}), 401, WRONG)
