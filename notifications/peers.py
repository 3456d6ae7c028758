"""What is said in a room at one notifier is heard in it at the others.

Reviews need none of this: every notifier hears them from the broker by itself.
"""

import logging
import queue
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import kombu
from kombu.exceptions import KombuError

from broker.events import Envelope, exchange
from notifications.threads import spawn

_log = logging.getLogger(__name__)

SOURCE = "notifications"
ROOM_TOLD = "room_told"
TRANSIENT = 1
WAIT_SECONDS = 0.5  # how long a stop can go unnoticed
MOST_WAITING = 1000  # what is said beyond that while the broker is away is not passed on


class Peers:
    """Passes on what is said here, on a thread of its own: at most once, and not while the broker is away."""

    def __init__(self, connection: kombu.Connection) -> None:
        self.running = False
        self._connection = connection
        self._instance = uuid.uuid4().hex
        self._said: queue.Queue[dict[str, Any]] = queue.Queue(MOST_WAITING)
        self._stopping = False

    def start(self) -> None:
        self.running = True
        spawn(self._run)

    def stop(self) -> None:
        """Ask the thread to end; `running` turns false when it has."""
        self._stopping = True

    def tell(self, room: str, event: str, payload: Mapping[str, Any]) -> None:
        """Pass on what `room` was told here; returns at once."""
        envelope = {
            "specversion": "1.0",
            "id": uuid.uuid4().hex,
            "source": f"/{SOURCE}",
            "type": ROOM_TOLD,
            "time": datetime.now(UTC).isoformat(),
            "data": {"instance": self._instance, "room": room, "event": event, "payload": dict(payload)},
        }
        try:
            self._said.put_nowait(envelope)
        except queue.Full:
            _log.warning("too much is said for the broker: not passed on")

    def said_elsewhere(self, envelope: Envelope) -> bool:
        """Whether this was said at another notifier, and so was not heard here yet."""
        return envelope.data["instance"] != self._instance

    def _run(self) -> None:
        try:
            while not self._stopping:
                try:
                    envelope = self._said.get(timeout=WAIT_SECONDS)
                except queue.Empty:
                    continue
                # Twice: a connection that was lost while nothing was said is noticed at the next word.
                if not (self._publish(envelope) or self._publish(envelope)):
                    _log.warning("what was said in a room was not passed on: the broker cannot be reached")
        finally:
            self.running = False
            self._connection.close()

    def _publish(self, envelope: dict[str, Any]) -> bool:
        """Whether the broker took it."""
        try:
            self._connection.ensure_connection(max_retries=0)
            producer = self._connection.Producer(exchange=exchange(SOURCE), serializer="json")
            producer.publish(
                envelope, routing_key=ROOM_TOLD, delivery_mode=TRANSIENT, declare=[producer.exchange]
            )
        except (KombuError, OSError, *self._connection.connection_errors):
            self._connection.close()
            return False
        return True
