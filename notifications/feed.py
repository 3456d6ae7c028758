"""The broker's events for the notifier: the reviews from the stream, in an order that all notifiers share,
and from a queue of its own what is said of tokens, and at other notifiers.

A notifier that starts reads the stream from some hours ago. One that lost the broker reads on from the last
message that it has seen, which must come again first: where another does, or none, the stream is not the one
that it was or has forgotten too much, and the notifier begins anew as if it had just started. So it does
where somebody deletes the stream.
"""

import logging
import math
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import kombu
from amqp.exceptions import ConsumerCancelled
from kombu.exceptions import KombuError
from kombu.mixins import ConsumerMixin

from broker.decoding import Malformed
from broker.events import Envelope, exchange, received
from broker.reading import unreadable
from broker.tally import Tally
from broker.topology import REVIEW_SOURCE, REVIEW_STREAM, review_stream
from broker.upkeep import ASSERT_SECONDS, Troubles, Upkeep
from notifications.peers import SOURCE
from notifications.threads import spawn

_log = logging.getLogger(__name__)

OWN = {"auth": ("session_revoked", "user_updated"), SOURCE: ("#",)}
SOURCES = {exchange(source).name: source for source in OWN}
MARK = "reading_began"  # the type of what a reader of the stream puts into it, to know when it has caught up
RECONNECT = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 3.0}  # seconds
AFTER_FAILURE_SECONDS = 1.0
AFTER_DELETION_SECONDS = 0.1
DRAIN_SECONDS = 0.5  # how long a stop can go unnoticed
HEARTBEAT_SECONDS = 1.0  # between two looks at what has gone over the connection
AGAIN_SECONDS = 5.0  # for the message that was seen last to come again
PREFETCH_OWN = 100
PREFETCH_STREAM = 1000
ACKNOWLEDGED_AT_ONCE = 100  # of the stream, where it only says that more may come
MOST_WAITING = 1000  # events handed over and not yet worked off; the broker keeps the rest


class Turn(Enum):
    """What happens to the history, in between its events."""

    ANEW = "it begins anew: what was read before counts no more, and what follows is of before"
    CAUGHT_UP = "all of before has been read: what follows is new"


class Feed(ConsumerMixin):
    """Hears the events on a thread of its own, and connects again for as long as it runs.

    On its thread it calls `receive` with each envelope and each turn, after waiting while `waiting()` says
    that too many are not yet worked off, and `changed` with whether it hears all that is said, whenever that
    changes.
    """

    def __init__(
        self,
        connection: kombu.Connection,
        history_seconds: float,
        receive: Callable[[Envelope | Turn], object],
        waiting: Callable[[], int],
        changed: Callable[[bool], object],
    ) -> None:
        self.connection = connection
        self.running = False
        self._history_seconds = history_seconds
        self._receive = receive
        self._waiting = waiting
        self._changed = changed
        self._hears: bool | None = None
        # A broker in memory has queues alone, no streams.
        self._streams = connection.get_transport_cls().driver_type == "amqp"
        self._seen: tuple[int, str] | None = None  # offset and id of the stream's last message
        self._again: tuple[int, str] | None = None  # what must come first
        self._again_until = 0.0
        self._mark: str | None = None  # until it has come
        self._unacknowledged = 0
        self._look_at = 0.0
        self._dropped = Tally(_log, "dropped a message of %s that is no event")
        self._troubles = Troubles()
        self._assert_at = 0.0

    @property
    def trouble(self) -> str | None:
        """A sentence on what at the broker keeps us from hearing and needs somebody's hand; or None."""
        return self._troubles.serious

    def start(self) -> None:
        self.running = True
        spawn(self.run)

    def stop(self) -> None:
        """Ask the thread to end; `running` turns false when it has."""
        self.should_stop = True

    def run(self) -> None:  # type: ignore[override, unused-ignore]
        try:
            while not self.should_stop:
                try:
                    for _ in self.consume(safety_interval=DRAIN_SECONDS):
                        pass
                except _Stopping:
                    break
                except ConsumerCancelled as cancelled:
                    self._deleted(cancelled)
                    time.sleep(AFTER_DELETION_SECONDS)
                except _NotThere:
                    self._says(hears=False)
                    time.sleep(ASSERT_SECONDS)
                except _OtherStream:
                    _log.warning("the stream of reviews does not go on where it was left: reading it anew")
                    self._seen = None
                    self._says(hears=False)
                except Exception as error:  # whatever it is, this thread is the only one that hears events
                    self._lost(error)
                    time.sleep(AFTER_FAILURE_SECONDS)
        finally:
            self.running = False

    @contextmanager
    def establish_connection(self) -> Iterator[kombu.Connection]:
        with self.create_connection() as opened:
            opened.ensure_connection(lambda error, _: self._lost(error), callback=self._check, **RECONNECT)
            self._opened = opened
            yield opened

    def get_consumers(self, Consumer: Any, channel: Any) -> list[Any]:  # noqa: ARG002
        self._begin()
        # A new name each time: the broker may still hold a lost connection's exclusive queue.
        name = f"notifications-{uuid.uuid4()}"
        bindings = [
            kombu.binding(exchange(source), routing_key=event)
            for source, events in OWN.items()
            for event in events
        ]
        self._own = kombu.Queue(name, bindings, exclusive=True, auto_delete=True, durable=False)
        self._upkeep = Upkeep(self._opened.channel(), self._troubles)
        if not (self._assert() and self._upkeep.queue(review_stream())):
            raise _NotThere
        own = Consumer(
            [self._own],
            auto_declare=False,
            on_message=self._take,
            prefetch_count=PREFETCH_OWN,
        )
        self._reviews = stream = kombu.Consumer(
            self._opened.channel(),
            [self._stream()],
            auto_declare=False,
            on_message=self._take_from_the_stream,
            prefetch_count=PREFETCH_STREAM,
        )
        return [own, stream]

    def on_consume_ready(self, connection: Any, channel: Any, consumers: Any, **options: Any) -> None:  # noqa: ARG002
        _log.info("hearing events from %s", connection.as_uri())
        if not self._streams:
            self._receive(Turn.CAUGHT_UP)
            self._says(hears=True)
        elif self._mark is not None:
            mark = Envelope(
                specversion="1.0",
                id=self._mark,
                source=f"/{SOURCE}",
                type=MARK,
                time=datetime.now(UTC).isoformat(),
                data={},
            )
            connection.Producer(serializer="json").publish(mark.model_dump(), routing_key=REVIEW_STREAM)

    def on_consume_end(self, connection: Any, channel: Any) -> None:  # noqa: ARG002
        self._own(channel).delete()  # memory:// deletes no queue by itself

    def on_iteration(self) -> None:
        now = time.monotonic()
        if now > self._look_at:  # kombu looks only where nothing came
            self._opened.heartbeat_check()
            self._look_at = now + HEARTBEAT_SECONDS
        if self._streams and now > self._assert_at:
            self._assert()
        if self._again is not None and now > self._again_until:
            raise _OtherStream

    def _assert(self) -> bool:
        """Have our own queue there and bound; whether it is there. That the stream is deleted we are told."""
        self._assert_at = time.monotonic() + ASSERT_SECONDS
        try:
            return self._upkeep.queue(self._own)
        except TimeoutError:
            _log.info("the broker did not answer for its queues in time")
            return False

    def _deleted(self, cancelled: ConsumerCancelled) -> None:
        """The broker consumes no more for us."""
        if str(cancelled.reply_text) in self._reviews._active_tags.values():
            _log.warning("the stream of reviews was deleted: reading a new one")
            self._seen = None
        else:
            _log.warning("the queue %s was deleted: making another", self._own.name)
        self._says(hears=False)

    def _begin(self) -> None:
        """Decide from where the stream is read."""
        self._unacknowledged = 0
        if self._streams and (self._seen is None or self._mark is not None):
            self._seen = None
            self._mark = uuid.uuid4().hex
            self._receive(Turn.ANEW)
        self._again = self._seen
        self._again_until = time.monotonic() + AGAIN_SECONDS

    def _stream(self) -> kombu.Queue:
        queue = review_stream()
        if self._streams:
            since = f"{math.ceil(self._history_seconds)}s"  # by the broker's clock
            queue.consumer_arguments = {"x-stream-offset": self._seen[0] if self._seen else since}
        return queue

    def _take(self, message: kombu.Message) -> None:
        info = message.delivery_info
        self._hand_over(self._read(message, SOURCES.get(info["exchange"], ""), info["routing_key"]))
        message.ack()

    def _take_from_the_stream(self, message: kombu.Message) -> None:
        envelope = self._read(message, REVIEW_SOURCE)
        if not self._streams:
            self._hand_over(envelope)
            message.ack()
            return
        event_id = envelope.id if envelope is not None else ""
        # Its place is among its headers: what has none is passed over.
        offset = message.headers.get("x-stream-offset")
        seen = None if offset is None else (int(offset), event_id)
        if seen is None or self._again is None:
            self._seen = seen or self._seen
            self._hand_over(envelope)
            if self._mark is not None and event_id == self._mark:
                self._mark = None
                self._receive(Turn.CAUGHT_UP)
                self._says(hears=True)
        elif seen == self._again:
            self._again = None
            self._says(hears=True)
        else:
            raise _OtherStream
        self._unacknowledged += 1
        if self._unacknowledged >= ACKNOWLEDGED_AT_ONCE:
            message.ack(multiple=True)
            self._unacknowledged = 0

    def _read(self, message: kombu.Message, source: str, event_type: str | None = None) -> Envelope | None:
        """The envelope that came from there, or from the stream a mark. Anything else, and what cannot be
        read, is counted and passed over: the stream keeps what is in it, and our own queue has nothing that
        others have not.
        """
        try:
            if (wrong := unreadable(message)) is not None:
                raise Malformed(wrong.reason)
            try:
                return received(message.body, source, event_type)
            except ValueError:
                if source == REVIEW_SOURCE and (mark := received(message.body, SOURCE)).type == MARK:
                    return mark
                raise
        except ValueError as error:
            info = message.delivery_info
            self._dropped.note(f"{info.get('exchange')}/{info.get('routing_key')}", error)
            return None

    def _hand_over(self, envelope: Envelope | None) -> None:
        while self._waiting() > MOST_WAITING and not self.should_stop:
            time.sleep(0.01)
        if envelope is not None:
            self._receive(envelope)

    def _check(self) -> None:
        if self.should_stop:
            raise _Stopping

    def _lost(self, error: BaseException) -> None:
        expected = isinstance(error, (*self.connection_errors, *self.channel_errors, KombuError, OSError))
        if not expected:
            _log.error("hearing events failed", exc_info=error)
        if self._hears is not False and not self.should_stop:
            # The cause by its type alone: its text may hold the URI.
            _log.warning("the broker cannot be reached (%s); trying until it can", type(error).__name__)
        self._says(hears=False)

    def _says(self, *, hears: bool) -> None:
        if hears is not self._hears and not self.should_stop:
            self._changed(hears)
        self._hears = hears


class _Stopping(Exception):
    """The thread is to end."""


class _NotThere(Exception):
    """A queue cannot be made, or what has the stream's name is none. It was said."""


class _OtherStream(Exception):
    """What was seen last did not come again first."""
