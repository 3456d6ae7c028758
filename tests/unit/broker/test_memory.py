from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import eventlet
import kombu
import pytest
from eventlet.hubs import get_hub

SECONDS = 5


@pytest.fixture
def connection() -> Iterator[kombu.Connection]:
    with kombu.Connection(transport="broker.memory:Transport") as connection:
        yield connection


@pytest.fixture
def queue(connection: kombu.Connection, request: pytest.FixtureRequest) -> Iterator[kombu.Queue]:
    queue = kombu.Queue(request.node.name, kombu.Exchange(f"{request.node.name}.events", type="topic"), "#")
    bound = queue(connection.default_channel)
    bound.declare()
    yield queue
    bound.delete()


def publish(queue: kombu.Queue, *bodies: Any) -> None:
    with kombu.Connection(transport="broker.memory:Transport") as other:
        for body in bodies:
            other.Producer(exchange=queue.exchange).publish(body, routing_key="news")


def test_who_waits_is_told(connection: kombu.Connection, queue: kombu.Queue) -> None:
    heard: list[Any] = []
    with connection.Consumer(queue, on_message=lambda message: heard.append(message.payload)):
        reader = eventlet.spawn(connection.drain_events)
        eventlet.sleep(0)
        timers = len(get_hub().timers) + len(get_hub().next_timers)
        assert heard == []
        publish(queue, {"a": 1})
        with eventlet.Timeout(SECONDS):
            reader.wait()
    assert heard == [{"a": 1}]
    assert timers == 0, "nothing looks into the queue meanwhile"


def test_what_is_there_already_is_delivered(connection: kombu.Connection, queue: kombu.Queue) -> None:
    publish(queue, 1, 2)
    heard: list[Any] = []
    with connection.Consumer(queue, on_message=lambda message: heard.append(message.payload)):
        connection.drain_events(timeout=SECONDS)
        connection.drain_events(timeout=SECONDS)
    assert heard == [1, 2]


def test_waiting_ends(connection: kombu.Connection, queue: kombu.Queue) -> None:
    with connection.Consumer(queue), pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.01)


@pytest.mark.parametrize("settle", ["ack", "reject", "requeue"])
def test_room_for_one_more_is_told_too(connection: kombu.Connection, queue: kombu.Queue, settle: str) -> None:
    heard: list[kombu.Message] = []
    publish(queue, 1, 2)
    with connection.Consumer(queue, on_message=heard.append, prefetch_count=1):
        connection.drain_events(timeout=SECONDS)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.01)
        reader = eventlet.spawn(connection.drain_events)
        eventlet.sleep(0)
        getattr(heard[0], settle)()
        with eventlet.Timeout(SECONDS):
            reader.wait()
        assert [message.payload for message in heard] == [1, 2]
        heard[1].ack()


def test_a_message_reaches_every_queue_and_each_reader_is_told(
    connection: kombu.Connection, queue: kombu.Queue
) -> None:
    second = kombu.Queue(f"{queue.name}-2", queue.exchange, "#")
    heard: list[Any] = []
    with (
        kombu.Connection(transport="broker.memory:Transport") as other,
        connection.Consumer(queue, on_message=lambda message: heard.append(("first", message.payload))),
        other.Consumer(second, on_message=lambda message: heard.append(("second", message.payload))),
    ):
        readers = [eventlet.spawn(each.drain_events) for each in (connection, other)]
        eventlet.sleep(0)
        publish(queue, 1)
        with eventlet.Timeout(SECONDS):
            for reader in readers:
                reader.wait()
        second(other.default_channel).delete()
    assert sorted(heard) == [("first", 1), ("second", 1)]
