"""An integration's view of the broker: a queue of its own, bound to the platform's events."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import kombu

from broker.events import exchange

DEADLINE_SECONDS = 15


class EventQueue:
    """Hears the events of `source` whose type fits `pattern`, from `with` on."""

    def __init__(self, amqp: str, source: str, pattern: str = "#") -> None:
        self._connection = kombu.Connection(amqp)
        name = f"test-{uuid.uuid4().hex}"
        self._queue = kombu.Queue(name, exchange(source), routing_key=pattern, exclusive=True)
        self.messages: list[tuple[dict[str, Any], kombu.Message]] = []

    def __enter__(self) -> EventQueue:
        self._consumer = self._connection.Consumer([self._queue], callbacks=[self._receive])
        self._consumer.consume()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._consumer.cancel()
        self._connection.close()

    def _receive(self, body: dict[str, Any], message: kombu.Message) -> None:
        message.ack()
        self.messages.append((body, message))

    def wait_for(self, enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """The envelopes heard, once there are `enough` of them; TimeoutError where that never comes."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not enough([body for body, _ in self.messages]):
            self._connection.drain_events(timeout=max(deadline - time.monotonic(), 0.01))
        return [body for body, _ in self.messages]
