from __future__ import annotations

from datetime import UTC, datetime

import pytest
from nameko.standalone.events import get_event_exchange
from pydantic import ValidationError

from broker import events

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
USER = events.UserReference(id=7, username="alice")


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
        "data": {"version": 3, "user": {"id": 7, "username": "alice"}, "role": "admin"},
    }


def test_every_envelope_has_an_id_of_its_own() -> None:
    event = events.UserDeleted(version=1, user=USER)
    assert events.envelope(event, NOW)["id"] != events.envelope(event, NOW)["id"]


def test_an_unknown_field_is_not_written() -> None:
    with pytest.raises(ValidationError):
        events.UserDeleted(version=1, user=USER, email="alice@example.com")  # type: ignore[call-arg]


def test_an_unknown_field_is_read_over() -> None:
    written = {**events.envelope(events.UserDeleted(version=1, user=USER), NOW), "traceparent": "00-1"}
    assert events.Envelope.model_validate(written).data["user"]["id"] == 7


@pytest.mark.parametrize("source", ["auth", "movies"])
def test_exchanges_are_declared_as_nameko_declares_them(source: str) -> None:
    ours, theirs = events.exchange(source), get_event_exchange(source, {})
    for name in ("name", "type", "durable", "auto_delete", "delivery_mode"):
        assert getattr(ours, name) == getattr(theirs, name)
