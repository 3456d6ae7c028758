from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import Invalid
from movies.cursor import KEY_LETTERS, Position, Signing, decode, digest

ids = st.integers(0, 2**63 - 1)
keys = st.text(st.characters(blacklist_characters="\x00", blacklist_categories=["Cs"]))

OURS = Signing(b"k" * 32)
# Of an installation that gave out cursors before it signed them.
UPGRADED = Signing(b"k" * 32, datetime.now(UTC) + timedelta(days=1))


def unsigned(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@given(st.floats(allow_nan=False, allow_infinity=False), ids)
def test_a_numeric_key_survives_to_the_last_bit(key: float, row_id: int) -> None:
    position = Position.at("rating", key, row_id)
    assert decode(position.encode(OURS), "rating", OURS) == position


@given(keys, ids)
def test_a_text_key_survives(key: str, row_id: int) -> None:
    position = Position.at("title", key, row_id)
    assert decode(position.encode(OURS), "title", OURS) == position


@pytest.mark.parametrize("letter", ["a", "漢", "🎬", '"', "\x01"])
def test_a_cursor_has_a_bound_whatever_the_text(letter: str) -> None:
    cursor = Position.at("title", letter * 10_000, 2**63 - 1).encode(OURS)
    assert len(cursor) < 800
    assert decode(cursor, "title", OURS) == Position(
        "title", letter * KEY_LETTERS, 2**63 - 1, digest(letter * 10_000)
    )


def test_no_cursor_is_the_beginning() -> None:
    assert decode(None, "rating", OURS) is None


@pytest.mark.parametrize("signing", [OURS, UPGRADED], ids=["new", "upgraded"])
@given(st.text(max_size=200))
def test_what_was_not_given_out_is_invalid_and_nothing_else(signing: Signing, cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        decode(cursor, "rating", signing)
    assert set(refused.value.errors) == {"cursor"}


@pytest.mark.parametrize("place", range(0, 60, 7))
def test_a_cursor_that_was_changed_is_invalid(place: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(Position.at("rating", 7.25, 123456).encode(OURS) + "=="))
    raw[place % len(raw)] ^= 1
    for signing in (OURS, UPGRADED):
        with pytest.raises(Invalid):
            decode(base64.urlsafe_b64encode(raw).decode().rstrip("="), "rating", signing)


def test_a_cursor_of_another_installation_is_invalid() -> None:
    with pytest.raises(Invalid):
        decode(Position.at("rating", 7.25, 1).encode(Signing(b"x" * 32)), "rating", OURS)


@pytest.mark.parametrize("signing", [OURS, UPGRADED], ids=["new", "upgraded"])
@pytest.mark.parametrize("order", ["id", "popular", "relevance:0123456789abcdef"])
def test_a_cursor_of_another_order_is_invalid(signing: Signing, order: str) -> None:
    with pytest.raises(Invalid):
        decode(Position.at("rating", 7.25, 1).encode(OURS), order, signing)


@pytest.mark.parametrize(
    ("content", "order", "position"),
    [
        (["id", 0.0, 7], "id", Position("id", 0.0, 7)),
        (["rating", 7.5, 7], "rating", Position("rating", 7.5, 7)),
        (["title", "inception", 7], "title", Position("title", "inception", 7)),
        (["title", "\u0130x", 7], "title", Position("title", "i\u0307x", 7)),
        (["latest", "2010-07-16", 7], "latest", Position("latest", "2010-07-16", 7)),
        (["relevance", 0.6079, 7], "relevance:0123", Position("relevance:0123", None, 7)),
    ],
)
def test_a_cursor_of_before_they_were_signed_is_taken_for_a_while(
    content: object, order: str, position: Position
) -> None:
    assert decode(unsigned(content), order, UPGRADED) == position
    for other in (OURS, Signing(b"k" * 32, datetime.now(UTC) - timedelta(seconds=1))):
        with pytest.raises(Invalid):
            decode(unsigned(content), order, other)


@pytest.mark.parametrize(
    "content",
    [
        ["title", "a", 1],
        ["rating", "a", 1],
        ["rating", True, 1],
        ["rating", 1.0, True],
        ["rating", 1.0, "1"],
        ["rating", 1.0, 1.0],
        ["rating", 1.0, -1],
        ["rating", 1.0, 2**63],
        ["rating", int("9" * 400), 1],
        ["rating", float("nan"), 1],
        ["rating", float("inf"), 1],
        ["rating", None, 1],
        ["rating", [], 1],
        ["rating", 1.0],
        ["rating", 1.0, 1, ""],
        [["rating"], 1.0, 1],
        {"rating": 1},
        {"order": "rating", "key": 1.0, "id": 1},
        "abc",
        7,
        None,
    ],
)
def test_a_made_up_cursor_is_invalid(content: object) -> None:
    for signing in (OURS, UPGRADED):
        with pytest.raises(Invalid):
            decode(unsigned(content), "rating", signing)


def test_true_is_no_id_in_the_list_by_id_either() -> None:
    with pytest.raises(Invalid):
        decode(unsigned(["id", 0, True]), "id", UPGRADED)


@pytest.mark.parametrize("key", ["a\x00", "a\ud800", 7, None, True])
def test_a_text_key_that_the_database_cannot_hold_is_invalid(key: object) -> None:
    with pytest.raises(Invalid):
        decode(unsigned(["title", key, 1]), "title", UPGRADED)
