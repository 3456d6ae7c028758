from __future__ import annotations

import pytest
from nameko.exceptions import deserialize, serialize

from broker import errors

CROSSING = [
    errors.Invalid,
    errors.Unauthenticated,
    errors.Forbidden,
    errors.NotFound,
    errors.Conflict,
    errors.KeyReused,
    errors.ServiceUnavailable,
    errors.DeadlineExceeded,
]


@pytest.mark.parametrize("kind", CROSSING)
def test_an_error_keeps_its_type_and_its_words_across_rpc(kind: type[errors.PlatformError]) -> None:
    arrived = deserialize(serialize(kind("One sentence", {"title": "is required"})))
    assert type(arrived) is kind
    assert (arrived.message, arrived.errors) == ("One sentence", {"title": "is required"})


@pytest.mark.parametrize("kind", CROSSING)
def test_an_error_without_words_has_its_default_ones(kind: type[errors.PlatformError]) -> None:
    assert str(deserialize(serialize(kind()))) == kind.default


def test_as_a_text_an_error_says_what_the_fields_do() -> None:
    error = errors.Invalid(errors={"rating": "must be in steps of 0.5", "title": "must not be empty"})
    text = "Some fields are not valid: rating must be in steps of 0.5; title must not be empty"
    assert str(error) == str(deserialize(serialize(error))) == text
    # What a stock client shows, which does not know the class.
    assert serialize(error)["value"] == text
    assert error.message == "Some fields are not valid"


def test_what_the_message_says_is_not_said_again() -> None:
    error = errors.Invalid("Username already exists", {"username": "already exists"})
    assert str(error) == "Username already exists"


def test_a_text_has_a_bound() -> None:
    error = errors.Invalid(errors={f"field{number}": "x" * 200 for number in range(20)})
    assert len(str(error)) == errors.MOST_TOLD
    assert str(error).endswith("x…")
