from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import Invalid
from movies.cursor import Position, decode

ids = st.integers(0, 2**63 - 1)


@given(st.floats(allow_nan=False, allow_infinity=False), ids)
def test_a_numeric_key_survives_to_the_last_bit(key: float, row_id: int) -> None:
    position = Position("rating", key, row_id)
    assert decode(position.encode(), "rating") == position


@given(st.text(st.characters(blacklist_characters="\x00", blacklist_categories=["Cs"])), ids)
def test_a_text_key_survives(key: str, row_id: int) -> None:
    position = Position("title", key, row_id)
    assert decode(position.encode(), "title") == position


def test_no_cursor_is_the_beginning() -> None:
    assert decode(None, "rating") is None


@given(st.text(max_size=200))
def test_what_was_not_given_out_is_invalid_and_nothing_else(cursor: str) -> None:
    try:
        assert isinstance(decode(cursor, "rating"), Position)
    except Invalid as error:
        assert set(error.errors) == {"cursor"}


@pytest.mark.parametrize(
    "content",
    [
        ["title", "a", 1],
        ["rating", "a", 1],
        ["rating", True, "1"],
        ["rating", 1.0, -1],
        ["rating", 1.0, 2**63],
        ["rating", int("9" * 400), 1],
        ["rating", float("nan"), 1],
        ["rating", float("inf"), 1],
        ["rating", None, 1],
        ["rating", 1.0],
        {"rating": 1},
        7,
    ],
)
def test_a_made_up_cursor_is_invalid(content: object) -> None:
    made_up = base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
    with pytest.raises(Invalid):
        decode(made_up, "rating")


@pytest.mark.parametrize("key", ["a\x00", "a\ud800"])
def test_a_text_key_that_the_database_cannot_hold_is_invalid(key: str) -> None:
    made_up = base64.urlsafe_b64encode(json.dumps(["title", key, 1]).encode()).decode().rstrip("=")
    with pytest.raises(Invalid):
        decode(made_up, "title")
