"""E-mail addresses: what is one, and which are one."""

from __future__ import annotations

import pytest

from broker import addresses

FORMS = {
    "jos\u00e9@example.com": ["jose\u0301@example.com", "JOSÉ@Example.COM", " jos\u00e9@example.com "],
    "ann@b\u00fccher.example": [
        "ann@xn--bcher-kva.example",
        "ann@XN--BCHER-KVA.example",
        "ann@bu\u0308cher.example",
    ],
    "ann@example.com": ["ann@ｅxample.com", "ANN@EXAMPLE。COM", "ａnn@example.com"],
    "\u0130lker@example.com": [
        "i\u0307lker@example.com",
        "\u0130LKER@example.com",
        "I\u0307lker@example.com",
    ],
    "νίκος@example.com": ["νίκοΣ@example.com", "ΝΊΚΟΣ@example.com", "νι\u0301κος@example.com"],
}


@pytest.mark.parametrize(
    ("address", "form"), [(a, form) for a, forms in FORMS.items() for form in (a, *forms)]
)
def test_every_form_of_an_address_is_the_one(address: str, form: str) -> None:
    assert addresses.email_key(form) == addresses.email_key(address)
    assert addresses.email_key(addresses.email(form)) == addresses.email_key(address)


def test_addresses_that_differ_differ() -> None:
    different = [
        "ann@example.com",
        "an.n@example.com",
        "ann+x@example.com",
        "ann@fass.de",
        "ann@faß.de",
        "änn@example.com",
    ]
    assert len({addresses.email_key(each) for each in different}) == len(different)


@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            "@",
            "ann",
            "ann@",
            "@example.com",
            "a b@example.com",
            "ann@example",
            "ann@exa mple.com",
            "ann@[127.0.0.1]",
        ],
        *[
            "an\u200dn@example.com",
            "an\u3164n@example.com",
            "ann\u202e@example.com",
            "ann＠example.com",
            "x" * 100_000,
        ],
        *["ann@example.com\n.evil", "ann@" + "é" * 900, "a" * 250 + "@example.com", "ann@xn--\u2028.com"],
    ],
)
def test_what_is_no_address_is_refused_and_is_nobodys(text: str) -> None:
    with pytest.raises(ValueError, match="must "):
        addresses.email(text)


@pytest.mark.parametrize("text", ["", "ann", "@", "x" * 100_000, "ann@exa mple.com"])
def test_what_is_no_address_has_no_key(text: str) -> None:
    assert addresses.email_key(text) is None
