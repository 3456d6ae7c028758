"""What one notifier says to the others: what is said in its rooms, that it is there, who is in a room.

Reviews need none of this: every notifier hears them from the broker by itself.
"""

import logging
import math
import queue
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import kombu
from amqp.exceptions import PreconditionFailed
from kombu.exceptions import KombuError

from broker.events import Envelope, exchange, read
from notifications.threads import spawn
from notifications.words import Said

_log = logging.getLogger(__name__)

SOURCE = "notifications"
ROOM_TOLD = "room_told"
HERE = "notifier_here"
GONE = "notifier_gone"
PRESENCE_ASKED = "presence_asked"
PRESENCE_TOLD = "presence_told"
TRANSIENT = 1
WAIT_SECONDS = 0.5  # how long a stop can go unnoticed
MOST_WAITING = 1000  # what is said beyond that while the broker is away is not passed on


class Peers:
    """Passes on what is said here, on a thread of its own: at most once, and not while the broker is away."""

    def __init__(self, connection: kombu.Connection) -> None:
        self.running = False
        self.instance = uuid.uuid4().hex
        self._connection = connection
        self._said: queue.Queue[tuple[dict[str, Any], float]] = queue.Queue(MOST_WAITING)
        self._stopping = False
        self._last_word: str | None = None
        self._reaches = True

    def start(self) -> None:
        self.running = True
        spawn(self._run)

    def stop(self, last_word: str | None = None) -> None:
        """Ask the thread to end, with `last_word` where the broker is connected; `running` turns false when
        it has.
        """
        self._last_word = last_word
        self._stopping = True

    def tell(self, room: str, event: str, payload: Mapping[str, Any]) -> None:
        """Pass on what `room` was told here; returns at once."""
        self.say(ROOM_TOLD, {"room": room, "event": event, "payload": dict(payload)})

    def say(self, word: str, data: dict[str, Any], good_for: float = math.inf) -> None:
        """Say something to every notifier, this one included, within `good_for` seconds or not at all;
        returns at once.
        """
        try:
            self._said.put_nowait((self._envelope(word, data), time.monotonic() + good_for))
        except queue.Full:
            _log.warning("too much is said for the broker: not passed on")

    def said_elsewhere(self, envelope: Envelope) -> bool:
        """Whether this was said at another notifier, and so was not heard here yet. Raises ValueError."""
        return read(envelope, Said).instance != self.instance

    def _envelope(self, word: str, data: dict[str, Any]) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": uuid.uuid4().hex,
            "source": f"/{SOURCE}",
            "type": word,
            "time": datetime.now(UTC).isoformat(),
            "data": {"instance": self.instance, **data},
        }

    def _run(self) -> None:
        try:
            while not self._stopping:
                try:
                    envelope, deadline = self._said.get(timeout=WAIT_SECONDS)
                except queue.Empty:
                    continue
                if time.monotonic() < deadline:
                    # Twice: a connection that was lost while nothing was said is noticed at the next word.
                    self._note(self._publish(envelope) or self._publish(envelope))
            if self._last_word is not None and self._connection.connected:
                self._publish(self._envelope(self._last_word, {}))
        finally:
            self.running = False
            self._connection.close()

    def _publish(self, envelope: dict[str, Any]) -> bool:
        """Whether the broker took it."""
        try:
            self._connection.ensure_connection(max_retries=0)
            with suppress(PreconditionFailed):  # somebody made it in another form: the feed says so
                exchange(SOURCE)(self._connection.default_channel).declare()
            producer = self._connection.Producer(auto_declare=False, serializer="json")
            producer.publish(
                envelope,
                exchange=exchange(SOURCE).name,
                routing_key=envelope["type"],
                delivery_mode=TRANSIENT,
            )
        except (
            KombuError,
            OSError,
            *self._connection.connection_errors,
            *self._connection.channel_errors,
        ):
            self._connection.close()
            return False
        return True

    def _note(self, reaches: bool) -> None:
        """Log the first word that is lost, and then only what changes."""
        if self._reaches and not reaches:
            _log.warning("what is said to the other notifiers is lost: the broker cannot be reached")
        self._reaches = reaches
