"""A dead letter has an id, and is shown, whatever it holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import kombu
import orjson
import pytest

from broker.letters import ERROR, ID_BYTES, PROPERTIES, SHOWN_TEXT_BYTES, Letter, letter_id, shown
from broker.reading import UNREADABLE, Unreadable

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEEP = json.dumps({"id": "deep", "data": json.loads("[" * 400 + "]" * 400)}).encode()


def message(body: bytes = b'{"id": "e1"}', headers: Any = None, **properties: Any) -> kombu.Message:
    return kombu.Message(body, properties=properties, headers=headers or {})


def test_an_event_is_known_by_its_id() -> None:
    assert letter_id(message()) == "e1"
    assert letter_id(message(message_id="kept")) == "kept"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"id": null}',
        b'{"id": ""}',
        b'{"id": "a\\u0000"}',
        b'{"id": "' + b"x" * (ID_BYTES + 1) + b'"}',
    ],
)
def test_what_has_no_id_is_known_by_what_it_holds(body: bytes) -> None:
    made = letter_id(message(body))
    assert made == letter_id(message(body))
    assert made != letter_id(message(body + b" "))
    assert len(made) == 32


def test_unreadable_messages_with_the_same_body_are_two() -> None:
    ids = {letter_id(message(b"x", unreadable=Unreadable("why", header))) for header in (b"\xff", b"\xfe")}
    assert len(ids) == 2


@pytest.mark.parametrize(
    "body", [b"\xff\x00", b"\xed\xa0\x80", DEEP, b"x" * 100_000, b'{"a": NaN}', b"\xf0\x9f"]
)
@pytest.mark.parametrize("value", [b"\xff", 1, None, ["x"], {"a": b"\xff"}, NOW, float("nan"), "x" * 30_000])
def test_whatever_it_holds_it_is_shown_as_json_of_a_bounded_size(body: bytes, value: Any) -> None:
    headers = dict.fromkeys(("x-queue", "x-error", "x-attempts", "x-died-at", PROPERTIES), value)
    assert len(orjson.dumps(shown(message(body, headers)))) < 8 * SHOWN_TEXT_BYTES


def test_bytes_are_escaped() -> None:
    letter = shown(message(b"a\xffb", unreadable=Unreadable("why", b"\x04\x00\x03\xff\xfe\x80")))
    assert letter["event"] == "a\\xffb"
    assert letter["properties"] == "\x04\x00\x03\\xff\\xfe\\x80"
    assert letter["error"] == "why"


def test_the_properties_of_what_could_not_be_read_are_kept() -> None:
    unread = message(**{UNREADABLE: Unreadable("why", b"\xff")})
    headers = Letter(unread, "rpc-movies", ValueError("\ud800"), 1, NOW).headers()
    assert headers[PROPERTIES] == "\\xff"
    assert headers[ERROR] == "ValueError: \\ud800"
    assert PROPERTIES not in Letter(message(), "q", ValueError(), 1, NOW).headers()
