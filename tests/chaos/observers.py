"""Who listens: a queue of the suite's own at the broker, and stock clients in rooms."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any

import kombu
import socketio
from kombu.exceptions import KombuError

from broker.events import exchange
from tests.chaos.checker import Arrival

PREFETCH_MESSAGES = 200
IDLE_SECONDS = 0.2  # how long a stop can go unnoticed
HEARTBEAT_SECONDS = 10
BOUND_SECONDS = 5.0  # of a connect, and of any other wait but that for an event
AGAIN_SECONDS = 0.5  # until the next try while the broker is away


class EventRecorder:
    """Takes every event of movies from a durable queue, and comes back whenever the broker does."""

    def __init__(self, amqp: str) -> None:
        self._amqp = amqp
        name = f"chaos-{uuid.uuid4().hex}"
        self._queue = kombu.Queue(name, exchange("movies"), routing_key="#", durable=True)
        self._arrivals: list[Arrival] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="event recorder", daemon=True)

    def start(self) -> None:
        """From the return on no event is missed."""
        with self._connection() as connection:
            self._queue(connection.default_channel).declare()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(10)

    @property
    def arrivals(self) -> list[Arrival]:
        return self._arrivals.copy()

    def waiting(self) -> int:
        """How many messages the broker still holds for us, beside those on their way."""
        with self._connection() as connection:
            return int(self._queue(connection.default_channel).queue_declare(passive=True).message_count)

    def _connection(self) -> kombu.Connection:
        bounds = {"read_timeout": BOUND_SECONDS, "write_timeout": BOUND_SECONDS}
        return kombu.Connection(
            self._amqp, connect_timeout=BOUND_SECONDS, heartbeat=HEARTBEAT_SECONDS, transport_options=bounds
        )

    def _run(self) -> None:
        while not self._stopping.is_set():
            connection = self._connection()
            try:
                connection.ensure_connection(max_retries=0)
                self._consume(connection)
            except (KombuError, OSError, *connection.connection_errors, *connection.channel_errors):
                self._stopping.wait(AGAIN_SECONDS)
            with suppress(AttributeError):  # one that was never opened has nothing to drop
                connection.collect()

    def _consume(self, connection: kombu.Connection) -> None:
        channel = connection.default_channel
        consumer = connection.Consumer([self._queue], channel, callbacks=[self._take], accept=["json"])
        consumer.qos(prefetch_count=PREFETCH_MESSAGES)
        consumer.consume()
        while not self._stopping.is_set():
            try:
                connection.drain_events(timeout=IDLE_SECONDS)
            except TimeoutError:
                connection.heartbeat_check()

    def _take(self, body: Any, message: kombu.Message) -> None:
        data = body["data"]
        review = data.get("review")
        self._arrivals.append(
            Arrival(
                body["id"],
                body["type"],
                data["movie"]["id"],
                data["version"],
                review["id"] if review else None,
                rooms_of(data) if review else (),
            )
        )
        message.ack()


def rooms_of(data: dict[str, Any]) -> tuple[str, ...]:
    """The rooms that are to hear of a review event, told from its data."""
    movie, user = data["movie"], data["review"]["user_id"]
    genres = {genre.strip().casefold() for genre in (movie["genre"] or "").split(",")} - {""}
    reviewer = () if user is None else (f"user:{user}",)
    return (str(movie["id"]), "all", *(f"genre:{genre}" for genre in sorted(genres)), *reviewer)


class RoomListener:
    """A stock Socket.IO client in one room, which connects and joins again by itself."""

    def __init__(self, url: str, room: str) -> None:
        self.heard: list[str] = []  # ids of events
        self.reviews: set[int] = set()
        self.connections = 0
        self.told_to_read: list[float] = []  # when (time.time()) it was told that not all can be replayed
        self._room = room
        self._url = url
        self._joined = threading.Event()
        self._last: str | None = None  # the position to come back with
        self.client = socketio.Client(
            reconnection_delay=0.2, reconnection_delay_max=1, randomization_factor=0.2
        )
        self.client.on("connect", self._join)
        self.client.on("new_review", self._hear)

    def start(self) -> None:
        """Return once it is in its room."""
        self.client.connect(self._url, transports=["websocket"], wait_timeout=10)
        assert self._joined.wait(10), f"{self._url} let nobody into the room {self._room}"

    def stop(self) -> None:
        self.client.shutdown()

    def _join(self) -> None:
        self.connections += 1
        asked = {"user_id": "chaos", "room_id": self._room}
        if self._last:
            asked["last_event_id"] = self._last
        before = len(self.heard)
        self.client.emit(
            "join_notification",
            asked,
            callback=lambda answer: self._answered(answer, len(self.heard) > before),
        )

    def _answered(self, answer: dict[str, Any], heard_since: bool) -> None:
        if self._last and not answer.get("recovered"):
            self.told_to_read.append(time.time())
        if not heard_since and not answer.get("recovered"):
            self._last = answer.get("last_event_id")
        self._joined.set()

    def _hear(self, push: dict[str, Any]) -> None:
        self._last = push["event_id"]
        self.heard.append(push["event_id"])
        self.reviews.add(push["review"]["id"])


def wait_until_quiet(counts: Callable[[], Hashable], seconds: float, deadline: float) -> None:
    """Return once `counts()` has not changed for `seconds`, or after `deadline` seconds."""
    end = time.monotonic() + deadline
    before, since = counts(), time.monotonic()
    while time.monotonic() - since < seconds and time.monotonic() < end:
        time.sleep(0.05)
        if (now := counts()) != before:
            before, since = now, time.monotonic()
