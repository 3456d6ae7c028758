from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from nameko.standalone.events import get_event_exchange
from pydantic import ValidationError

from broker import events


def came(written: Any, source: str = "auth", event_type: str | None = None) -> events.Envelope:
    """What comes in as JSON."""
    return events.received(json.dumps(written).encode(), source, event_type)


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
USER = events.UserReference(id=7, username="alice", uid="a" * 32)


def test_an_event_travels_in_a_cloudevents_envelope() -> None:
    event = events.UserUpdated(version=3, user=USER, role="admin")
    envelope = events.envelope(event, NOW)
    assert envelope == {
        "specversion": "1.0",
        "id": envelope["id"],
        "source": "/auth",
        "type": "user_updated",
        "time": "2026-01-02T03:04:05.000000Z",
        "subject": "users/7",
        "datacontenttype": "application/json",
        "dataschema": "urn:movie-review-platform:user_updated:1",
        "data": {"version": 3, "user": {"id": 7, "username": "alice", "uid": "a" * 32}, "role": "admin"},
    }


def test_every_envelope_has_an_id_of_its_own() -> None:
    event = events.UserDeleted(version=1, user=USER)
    assert events.envelope(event, NOW)["id"] != events.envelope(event, NOW)["id"]


def test_an_unknown_field_is_not_written() -> None:
    with pytest.raises(ValidationError):
        events.UserDeleted(version=1, user=USER, email="alice@example.com")  # type: ignore[call-arg]


def test_an_unknown_field_is_read_over() -> None:
    written = {**events.envelope(events.UserDeleted(version=1, user=USER), NOW), "traceparent": "00-1"}
    written["data"] |= {"mood": "glad", "user": {**written["data"]["user"], "mood": "glad"}}
    read = events.read(came(written), events.UserDeleted)
    assert read == events.UserDeleted(version=1, user=USER)


@pytest.mark.parametrize("source", ["auth", "movies"])
def test_exchanges_are_declared_as_nameko_declares_them(source: str) -> None:
    ours, theirs = events.exchange(source), get_event_exchange(source, {})
    for name in ("name", "type", "durable", "auto_delete", "delivery_mode"):
        assert getattr(ours, name) == getattr(theirs, name)


MOVIE = events.Movie(
    **{"id": 42, "title": "Heat", "description": "", "rating": 8.5, "genre": "Crime", "poster_url": ""},
    **{"release_date": None, "kind": "movie", "director": "", "average_rating": None, "review_count": 0},
    **dict.fromkeys(("created_at", "updated_at"), "2026-01-01T00:00:00Z"),
)
REVIEW = events.Review(
    **{"id": 1, "movie_id": 42, "user_id": 7, "username": "anna", "title": "Great", "body": ""},
    **{"rating": 8.0, "spoiler": False, "likes": 0},
    **dict.fromkeys(("created_at", "updated_at"), "2026-01-01T00:00:00Z"),
)
REFERENCE = events.MovieReference(id=42, title="Heat", genre="Crime")
EVENTS: list[events.Event] = [
    events.MovieCreated(version=1, movie=MOVIE),
    events.ReviewCreated(version=1, movie=REFERENCE, review=REVIEW),
    events.UserUpdated(version=3, user=USER, role="admin"),
    events.UserDeleted(version=3, user=USER),
    events.SessionRevoked(version=3, user=USER, session="s", expires_at=99),
]
every_event = pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)


@every_event
def test_what_was_written_is_read(event: events.Event) -> None:
    envelope = came(events.envelope(event, NOW), event.source, event.type)
    assert events.read(envelope, type(event)) == event


HOSTILE: list[Any] = [
    *(None, True, False, "", "7", "x" * 300_000, "a\0b", "\ud800", "\udc00\ud800", [], {}, [[]], [None]),
    *(0, -1, -(2**63), 2**53, 2**63, 2**64, 10**30, 1.5, -0.5, 1e308),
    *(float("nan"), float("inf"), float("-inf")),
]
# What some of the fields may well be.
FINE: dict[str, tuple[Any, ...]] = {
    "rating": (None, 0, 1.5),
    "average_rating": (None, 0, 1.5),
    "release_date": (None, "", "7"),
    "user_id": (None, 2**53),
    "username": (None, "7"),
    "uid": (None, "7"),
    "spoiler": (True, False),
    "id": (2**53,),
    "movie_id": (2**53,),
    **dict.fromkeys(("likes", "review_count", "expires_at"), (0,)),
    **dict.fromkeys(("title", "genre", "director", "poster_url", "description", "body"), ("", "7")),
    **dict.fromkeys(("created_at", "updated_at"), ("", "7")),
    **dict.fromkeys(("kind", "role", "session"), ("7",)),
}


def places(data: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every field."""
    found = []
    for name, value in data.items():
        found.append((*path, name))
        if isinstance(value, dict):
            found += places(value, (*path, name))
    return found


def put(data: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        data = data[name]
    data[path[-1]] = value


@every_event
def test_no_field_takes_what_it_cannot_be(event: events.Event) -> None:
    written = events.envelope(event, NOW)
    for path in places(written["data"]):
        for value in HOSTILE:
            fine = FINE.get(path[-1], ())
            if any(value is each or (value == each and type(value) is type(each)) for each in fine):
                continue
            forged = json.loads(json.dumps(written))
            put(forged["data"], path, value)
            with pytest.raises(ValueError):  # noqa: PT011 - pydantic's, or orjson's
                events.read(came(forged, event.source), type(event))


@every_event
def test_no_field_may_be_missing(event: events.Event) -> None:
    for path in places(event.model_dump(mode="json")):
        if path[-1] == "uid":  # a release before does not say it
            continue
        forged = events.envelope(event, NOW)
        inner = forged["data"]
        for name in path[:-1]:
            inner = inner[name]
        del inner[path[-1]]
        with pytest.raises(ValueError):  # noqa: PT011
            events.read(came(forged, event.source), type(event))


@pytest.mark.parametrize(
    ("attribute", "values"),
    [
        ("specversion", (None, "0.3", "1.1", 1.0, "")),
        ("id", (None, 7, "", " ", "a b", "x" * 101, "é", "a\0", "\ud800", "a\n", [])),
        ("source", (None, 7, "/movies", "auth", "/auth/", "")),
        ("type", (None, 7, "", "user_deleted", "x" * 300)),
        ("time", (None, 7, "", "now", "2026", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "x" * 50)),
        ("subject", (None, 7, "x" * 301, "a\0")),
        ("data", (None, 7, "x", [])),
        ("signature", (None, 7, "x" * 201)),
    ],
)
def test_an_attribute_that_cannot_be_is_refused(attribute: str, values: tuple[Any, ...]) -> None:
    written = events.envelope(events.UserUpdated(version=3, user=USER, role="admin"), NOW)
    for value in values:
        with pytest.raises(ValueError):  # noqa: PT011
            came({**written, attribute: value}, "auth", "user_updated")


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"null", b"[]", b"7", b'"x"', b"NaN", b"\xff", b"{}", b'{"id": NaN}', b"\x80\x81"),
        *(b"[" * 5000, b'{"a":' * 5000, b" " * (events.MOST_EVENT_BYTES + 1), b'"\\ud800"', b"1e999"),
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_envelope_is_none(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        events.received(body, "auth")


def test_an_event_of_the_longest_texts_is_short_enough() -> None:
    longest = REVIEW.model_copy(update={"body": "😀" * 200_000, "title": "😀" * 2000})
    event = events.ReviewCreated(version=1, movie=REFERENCE, review=longest)
    assert events.read(came(events.envelope(event, NOW), "movies"), events.ReviewCreated) == event
