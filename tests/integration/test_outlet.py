"""What the relay publishes with, on a real RabbitMQ: which events it says were taken, and which not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import kombu
import pytest

from broker import topology
from broker.events import exchange
from broker.outlet import Outlet
from broker.upkeep import Troubles
from tests.servers import ServerUrls


@pytest.fixture
def connection(servers: ServerUrls) -> Iterator[kombu.Connection]:
    with kombu.Connection(servers.amqp) as connection:
        yield connection


@pytest.fixture
def source(connection: kombu.Connection) -> Iterator[str]:
    """A service of its own, whose exchange goes with the test."""
    name = f"test-{uuid.uuid4().hex}"
    yield name
    with connection.channel() as channel:
        exchange(name)(channel).delete()


def send(outlet: Outlet, event_type: str, *ids: str) -> None:
    for event in ids:
        outlet.send(event_type, {"id": event})


def bound_queue(connection: kombu.Connection, source: str, **options: object) -> kombu.Queue:
    queue = kombu.Queue(f"{source}-queue", exchange(source), routing_key="#", exclusive=True, **options)
    bound = queue(connection.default_channel)
    bound.declare()
    return bound


def test_many_events_are_taken_at_once_in_their_order(connection: kombu.Connection, source: str) -> None:
    queue = bound_queue(connection, source)
    outlet = Outlet(connection, source)
    ids = [str(number) for number in range(50)]
    send(outlet, "happened", *ids)
    assert outlet.settle() == set()
    assert [queue.get(no_ack=True).payload["id"] for _ in ids] == ids


def test_what_a_full_queue_turns_away_is_not_taken(connection: kombu.Connection, source: str) -> None:
    limits = {"x-max-length": 1, "x-overflow": "reject-publish"}
    queue = bound_queue(connection, source, queue_arguments=limits)
    outlet = Outlet(connection, source)
    send(outlet, "happened", "first")
    assert outlet.settle() == set()
    send(outlet, "happened", "second", "third")
    assert outlet.settle() == {"second", "third"}
    queue.purge()
    send(outlet, "happened", "second")
    assert outlet.settle() == set()


def test_what_somebodys_queue_turns_away_is_tried_once_more_and_holds_nobody_up(
    connection: kombu.Connection, source: str, caplog: pytest.LogCaptureFixture
) -> None:
    hears = bound_queue(connection, source)
    limits = {"x-max-length": 0, "x-overflow": "reject-publish"}
    options = {"exclusive": True, "queue_arguments": limits}
    kombu.Queue(f"{source}-full", exchange(source), routing_key="#", **options)(
        connection.channel()
    ).declare()
    outlet = Outlet(connection, source)
    ids = [str(number) for number in range(20)]
    send(outlet, "happened", *ids)
    assert outlet.settle() == set(ids)
    send(outlet, "happened", *ids)
    assert outlet.settle() == set()
    assert [hears.get(no_ack=True).payload["id"] for _ in ids] == ids
    assert len([line for line in caplog.messages if "turned an event away" in line]) == 1


def test_the_queue_of_a_service_that_never_started_is_there_before_its_event(
    connection: kombu.Connection, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(topology.REQUIRED, source, {"happened": ("reader.handle",)})
    (queue,) = topology.required_queues(source, "happened")
    queue = queue(connection.default_channel)
    outlet = Outlet(connection, source)
    send(outlet, "happened", "first")
    assert outlet.settle() == set()
    assert queue.get(no_ack=True).payload == {"id": "first"}
    queue.delete()


def test_another_queue_that_takes_a_required_event_is_not_enough(
    connection: kombu.Connection, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(topology.REQUIRED, source, {"happened": ("reader.handle",)})
    (queue,) = topology.required_queues(source, "happened")
    queue = queue(connection.default_channel)
    outlet = Outlet(connection, source)
    others = bound_queue(connection, source)
    send(outlet, "happened", "first")
    assert outlet.settle() == set()
    queue.delete()
    send(outlet, "happened", "second")
    assert outlet.settle() == {"second"}
    send(outlet, "happened", "second")
    assert outlet.settle() == set()
    assert queue.get(no_ack=True).payload == {"id": "second"}
    assert [others.get(no_ack=True).payload["id"] for _ in range(3)] == ["first", "second", "second"]
    queue.delete()


def test_an_exchange_made_again_by_somebody_else_keeps_nothing_from_a_required_queue(
    connection: kombu.Connection, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(topology.REQUIRED, source, {"happened": ("reader.handle",)})
    (queue,) = topology.required_queues(source, "happened")
    queue = queue(connection.default_channel)
    outlet = Outlet(connection, source)
    exchange(source)(connection.default_channel).delete()
    bound_queue(connection, source)
    send(outlet, "happened", "first")
    assert outlet.settle() == set()
    assert queue.get(no_ack=True).payload == {"id": "first"}
    queue.delete()


@pytest.mark.parametrize("form", [{"type": "fanout", "durable": True}, {"type": "topic", "durable": False}])
def test_an_exchange_in_another_form_is_said_once_and_used(
    connection: kombu.Connection, source: str, form: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    other = kombu.Exchange(f"{source}.events", **form)(connection.default_channel)
    other.declare()
    troubles = Troubles()
    for event in ("first", "second"):
        outlet = Outlet(connection, source, troubles)
        send(outlet, "happened", event)
        assert outlet.settle() == set()
    assert len([record for record in caplog.records if "is not as it must be" in record.message]) == 1
    assert (troubles.serious is not None) == (form["type"] == "fanout")
    other.delete()
    Outlet(connection, source, troubles)
    assert troubles.serious is None


def test_what_must_be_in_a_stream_waits_while_something_else_has_its_name(
    connection: kombu.Connection, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{source}-stream"
    monkeypatch.setattr(topology, "REVIEW_STREAM", name)
    monkeypatch.setattr(topology, "REVIEW_SOURCE", source)
    classic = kombu.Queue(name, durable=True)(connection.default_channel)
    classic.declare()
    outlet = Outlet(connection, source)
    send(outlet, "review_created", "first")
    assert outlet.settle() == {"first"}
    assert classic.get() is None
    classic.delete()
    send(outlet, "review_created", "first")
    assert outlet.settle() == set()
    connection.default_channel.queue_delete(name)


def test_what_earlier_releases_bound_is_bound_no_more(
    connection: kombu.Connection, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(topology.REQUIRED, source, {"happened": ("reader.handle",)})
    (queue,) = topology.required_queues(source, "happened")
    queue = queue(connection.default_channel)
    queue.declare()
    exchange(source)(connection.default_channel).declare()
    queue.bind_to(f"{source}.events", "happened")
    outlet = Outlet(connection, source)
    send(outlet, "happened", "once")
    assert outlet.settle() == set()
    assert queue.get(no_ack=True).payload == {"id": "once"}
    assert queue.get() is None
    queue.delete()


def test_a_required_event_that_no_queue_takes_is_not_taken(
    connection: kombu.Connection, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(topology.REQUIRED, source, {"happened": ("reader.handle",)})
    (queue,) = topology.required_queues(source, "happened")
    outlet = Outlet(connection, source)
    send(outlet, "happened", "first")
    with connection.channel() as channel:
        queue(channel).delete()  # while the outlet believes it is there
    send(outlet, "happened", "second")
    assert "second" in outlet.settle()
    send(outlet, "happened", "second")
    assert outlet.settle() == set()
    queue(connection.default_channel).delete()
