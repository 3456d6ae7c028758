"""The link: the one connection to the broker that a service holds open, and says and hears everything over.

Four greenlets serve it: one reads, one writes, one watches that the broker is still there, and one that what
was declared there is. Who has something to say puts it in a queue and goes on, so that nobody ever waits in a
socket of a broker that takes nothing.
A lost connection is made again for as long as the service runs.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import eventlet
import kombu
from amqp import spec
from amqp.exceptions import AMQPError, ChannelError, error_for_code
from eventlet.event import Event
from eventlet.queue import LightQueue
from eventlet.semaphore import Semaphore
from kombu.exceptions import KombuError
from nameko.extensions import SharedExtension

from broker import config
from broker.answers import ReadElsewhere, Unanswered
from broker.reading import unreadable
from broker.rpc_client import bounded_connection
from broker.signals import wake_for_signals
from broker.upkeep import ASSERT_SECONDS, Troubles, Upkeep
from broker.wire import Wire

_log = logging.getLogger(__name__)

BROKER_ERRORS = (AMQPError, KombuError, OSError)
OPEN_SECONDS = 5.0  # to connect, and to declare and consume what there is
PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)  # seconds before each new attempt; the last one for all that follow
LOOK_PAUSE_SECONDS = 0.1  # before the broker's queues are looked at because something is missing
CLOSE_SECONDS = 2.0  # a polite goodbye, what is still to be written before it
JSON_PROPERTIES = {"content_type": "application/json", "content_encoding": "utf-8"}


class LinkDown(Exception):
    """There is no connection to the broker now, or it takes nothing."""


class Unread(Exception):
    """A message could not be read; its text says why."""


@dataclass(eq=False)
class Subscription:
    """A queue that is declared and consumed whenever the link opens: `queue`, or what it answers then.

    `receive` gets each message, undecoded, in the greenlet that reads: it must not block. `set_aside` gets
    those that cannot be read (`broker/reading.py`), and those at which `receive` raised, with the error. At
    most `prefetch` messages are out at once (0: any number).
    """

    queue: kombu.Queue | Callable[[], kombu.Queue]
    receive: Callable[[kombu.Message], None]
    set_aside: Callable[[kombu.Message, Exception], None]
    prefetch: int = 0
    no_ack: bool = False
    consumer: Any = field(default=None, repr=False)
    consumed: kombu.Queue | None = field(default=None, repr=False)  # the one that is, now


class Link(SharedExtension):
    """The connection of a service's container. Its other extensions subscribe to queues in their setup."""

    def __init__(self) -> None:
        super().__init__()
        self._subscriptions: list[Subscription] = []
        self._opened: list[Callable[[], None]] = []
        self._lost: list[Callable[[], None]] = []
        self._returned: list[Callable[[Any], None]] = []
        self._kept: list[kombu.Exchange] = []
        self._refusing: set[str] = set()  # of these: they would end the channel of whoever publishes
        self._troubles = Troubles()
        self._due = Semaphore(0)  # a look at the broker's queues
        self._outgoing: LightQueue = LightQueue()
        self._first_opening = Event()
        self._channel: Any = None
        self._upkeep: Any = None
        self._wire: Wire | None = None
        self._blocked = False
        self._stopping = False
        self._thread: Any = None

    def bind(self, container: Any) -> "Link":
        config.check_service(container, "AMQP_URI")
        return super().bind(container)

    @property
    def is_open(self) -> bool:
        """Whether the broker is connected and takes what we publish."""
        return self._channel is not None and not self._blocked

    def why_not_open(self) -> str | None:
        """A sentence, where it is not open."""
        if self._blocked:
            return "The broker takes nothing for now"
        return None if self.is_open else "The broker is not connected"

    @property
    def trouble(self) -> str | None:
        """A sentence on what at the broker keeps us from our work and needs somebody's hand; or None."""
        return self._troubles.serious

    @cached_property
    def speaks_amqp(self) -> bool:
        """Whether this is a real broker, and not kombu's in memory."""
        return bool(self._connection().get_transport_cls().driver_type == "amqp")

    def subscribe(self, subscription: Subscription) -> None:
        """Before the start: consume a queue from then on."""
        self._subscriptions.append(subscription)

    def keep(self, exchange: kombu.Exchange) -> None:
        """Before the start: have an exchange there that is published to."""
        self._kept.append(exchange)

    def look_again(self) -> None:
        """Have queues, exchanges and bindings asserted soon: something seems to be missing."""
        if self._due.balance <= 0:
            self._due.release()

    def unsubscribe(self, subscription: Subscription) -> None:
        """Consume a queue no more. What the broker has sent meanwhile still reaches `receive`."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            self._outgoing.put(partial(self._cancel, subscription))

    def watch(
        self,
        opened: Callable[[], None] | None = None,
        lost: Callable[[], None] | None = None,
        returned: Callable[[Any], None] | None = None,
    ) -> None:
        """Have a function called whenever the link opens, or a queue is there again that somebody deleted; or
        the link is lost; or with the properties of a mandatory message that no queue was there for. None of
        them may block.
        """
        for function, functions in (
            (opened, self._opened),
            (lost, self._lost),
            (returned, self._returned),
        ):
            if function is not None:
                functions.append(function)  # type: ignore[arg-type]

    def publish(
        self,
        body: bytes,
        exchange: str,
        routing_key: str,
        *,
        mandatory: bool = False,
        **properties: Any,
    ) -> None:
        """Hand over a JSON message; returns at once. `properties` are AMQP's, by their names there, and
        `headers`.

        Nothing tells whether the broker took it. Raises LinkDown.
        """
        if self._channel is None or self._blocked or exchange in self._refusing:
            raise LinkDown
        self._outgoing.put(partial(self._publish, body, exchange, routing_key, mandatory, properties))

    def ack(self, message: kombu.Message) -> None:
        """Tell the broker that a message is done with. Where the link is lost first, it comes again."""
        self._outgoing.put(partial(self._settle, message, message.ack))

    def requeue(self, message: kombu.Message) -> None:
        """Give a message back, for another consumer."""
        self._outgoing.put(partial(self._settle, message, message.requeue))

    def holds(self, message: kombu.Message) -> bool:
        """Whether a message can still be acknowledged: the link over which it came was not lost."""
        return message.channel is self._channel and self._channel is not None

    def start(self) -> None:
        """Returns when the link is open for the first time: what is announced from then on will be heard."""
        if self._thread is None:
            wake_for_signals()
            self._thread = self.container.spawn_managed_thread(self._run, identifier="link to the broker")
        self._first_opening.wait()

    def stop(self) -> None:
        """Say what there is to say, and close; within CLOSE_SECONDS."""
        if self._stopping:
            return
        self._stopping = True
        self._outgoing.put(self._close)
        if self._thread is not None and self._channel is not None:
            with eventlet.Timeout(CLOSE_SECONDS, False):
                self._thread.wait()
        self.kill()

    def kill(self) -> None:
        self._stopping = True
        if self._thread is not None:
            self._thread.kill()
        if not self._first_opening.ready():
            self._first_opening.send()

    def _connection(self) -> kombu.Connection:
        settings = config.settings(self.container.config)
        return bounded_connection(settings.AMQP_URI, settings.TRANSPORT_OPTIONS, settings.HEARTBEAT)

    def _run(self) -> None:
        failures = 0
        lost_at = time.monotonic()
        while not self._stopping:
            try:
                with self._open() as connection:
                    if failures or self._first_opening.ready():
                        _log.info("the broker is back after %.1f s", time.monotonic() - lost_at)
                    failures = 0
                    self._announce_opening()
                    self._serve(connection)
            except Exception as error:  # whatever it is, this is the only greenlet that keeps the link
                if self._stopping:
                    return
                if failures <= 1:
                    self._note(error, was_open=failures == 0 and self._first_opening.ready())
                lost_at = lost_at if failures else time.monotonic()
                failures += 1
            if not self._stopping:
                eventlet.sleep(PAUSES[min(failures, len(PAUSES)) - 1])

    def _note(self, error: Exception, *, was_open: bool) -> None:
        if not isinstance(error, (*BROKER_ERRORS, _Elapsed)):
            _log.error("the link to the broker failed", exc_info=error)
        elif was_open:
            # By its type alone: its text may hold the URI.
            _log.warning("the link to the broker is lost (%s); trying again", type(error).__name__)
        else:
            _log.warning("the broker cannot be reached (%s); trying until it can", type(error).__name__)

    @contextmanager
    def _open(self) -> Iterator[kombu.Connection]:
        connection = self._connection()
        try:
            with eventlet.Timeout(OPEN_SECONDS, _Elapsed):
                connection.ensure_connection(max_retries=0)
                # At once: messages of the first queue come in while the next one is declared. What is said
                # to them waits until somebody writes.
                self._channel = connection.channel()
                self._watch_channel(connection, self._channel)
                self._upkeep = Upkeep(connection.channel(), self._troubles)
                self._assert_kept()
                for subscription in list(self._subscriptions):
                    subscription.consumed = None
                    self._assert(subscription)
            self._wire = Wire(connection.connection.transport) if self.speaks_amqp else None
            yield connection
        finally:
            self._channel = None
            self._blocked = False
            self._outgoing = LightQueue()  # meant for the broker's other end of this connection
            with suppress(AttributeError):  # one that was never opened has nothing to drop
                connection.collect()
            for function in self._lost:
                function()

    def _watch_channel(self, connection: kombu.Connection, channel: Any) -> None:
        if not self.speaks_amqp:
            return
        channel.events["basic_return"].add(self._on_return)
        # py-amqp would open it again, and wait for the answer where it reads.
        channel._callbacks[spec.Channel.Close] = self._on_channel_closed
        connection.connection.on_blocked = self._on_blocked
        connection.connection.on_unblocked = self._on_unblocked

    def _assert_kept(self) -> None:
        self._refusing = {each.name for each in self._kept if not self._upkeep.exchange(each)}

    def _assert(self, subscription: Subscription) -> None:
        """Have its queue there and bound, and consume it where it is not consumed yet."""
        queue = subscription.consumed
        if queue is None:
            made = subscription.queue
            queue = made if isinstance(made, kombu.Queue) else made()
        if queue.no_declare or self._upkeep.queue(queue):
            if subscription.consumed is None:
                self._consume(self._channel, subscription, queue)
            subscription.consumed = queue

    def _consume(self, channel: Any, subscription: Subscription, queue: kombu.Queue) -> None:
        """Waits for no answer: another greenlet may read by now."""
        if subscription.no_ack and self.speaks_amqp:
            # Replies, most of what a gateway hears: the driver's message has all that they need.
            deliver = partial(self._deliver, subscription)
            channel.basic_consume(queue.name, "replies", no_ack=True, nowait=True, callback=deliver)
            return
        consumer = kombu.Consumer(
            channel,
            [queue],
            auto_declare=False,
            on_message=partial(self._deliver, subscription),
            no_ack=subscription.no_ack,
        )
        if self.speaks_amqp:
            channel.send_method(spec.Basic.Qos, "lBb", (0, subscription.prefetch, False))
        elif subscription.prefetch:
            consumer.qos(prefetch_count=subscription.prefetch)
        tag = consumer._basic_consume(consumer.queues[0], no_ack=subscription.no_ack, nowait=True)
        if self.speaks_amqp:
            channel.cancel_callbacks[tag] = partial(self._on_cancelled, subscription)
        subscription.consumer = consumer

    def _deliver(self, subscription: Subscription, message: kombu.Message) -> None:
        """No message ends the greenlet that reads, and with it the link."""
        if (wrong := unreadable(message)) is not None:
            subscription.set_aside(message, Unread(wrong.reason))
            return
        try:
            subscription.receive(message)
        except Exception as error:
            subscription.set_aside(message, error)

    def _announce_opening(self) -> None:
        for function in self._opened:
            function()
        if not self._first_opening.ready():
            self._first_opening.send()

    def _serve(self, connection: kombu.Connection) -> None:
        """Read, write and watch until one of them fails; raises what it failed with."""
        ended = Event()

        def until_failure(work: Callable[[kombu.Connection], None]) -> None:
            try:
                work(connection)
            except Exception as error:
                if not ended.ready():
                    ended.send_exception(error)

        works = [self._read, self._write, self._pulse]
        if self.speaks_amqp:
            ReadElsewhere(self._upkeep.channel, lambda: self._outgoing.put(_nothing))
            works.append(self._keep_up)
        workers = [eventlet.spawn(until_failure, work) for work in works]
        try:
            ended.wait()
        finally:
            for worker in workers:
                worker.kill()

    def _read(self, connection: kombu.Connection) -> None:
        if not self.speaks_amqp:
            while True:
                connection.drain_events()
        # kombu and py-amqp connect anew where one that is closed is read from.
        driver = connection.connection
        while driver.connected:
            driver.blocking_read()
        raise LinkDown

    def _write(self, _connection: kombu.Connection) -> None:
        outgoing, wire = self._outgoing, self._wire
        while True:
            outgoing.get()()
            while not outgoing.empty():
                outgoing.get()()
            if wire is not None:
                wire.flush()

    def _pulse(self, connection: kombu.Connection) -> None:
        """Send heartbeats. A broker that says nothing for two of them is gone, however well its kernel is."""
        amqp_connection = connection.connection
        heartbeat = getattr(amqp_connection, "heartbeat", 0)
        if not heartbeat:
            return
        heard, heard_at = amqp_connection.bytes_recv, time.monotonic()
        while True:
            eventlet.sleep(heartbeat / 2)
            self._outgoing.put(amqp_connection.send_heartbeat)
            if amqp_connection.bytes_recv != heard:
                heard, heard_at = amqp_connection.bytes_recv, time.monotonic()
            elif time.monotonic() - heard_at > 2 * heartbeat:
                raise TimeoutError("the broker says nothing")

    def _keep_up(self, _connection: kombu.Connection) -> None:
        """Look every few seconds, or when something seems to be missing, that everything is there still."""
        while True:
            if self._due.acquire(timeout=ASSERT_SECONDS):
                eventlet.sleep(LOOK_PAUSE_SECONDS)
            if self._blocked:
                continue
            try:
                self._look()
            except Unanswered:
                _log.info("the broker did not answer for its queues in time")
            except Exception as error:  # whatever it is, the link does its work without this
                _log.error("the broker's queues could not be looked at", exc_info=error)

    def _look(self) -> None:
        self._assert_kept()
        for subscription in list(self._subscriptions):
            was_consumed = subscription.consumed is not None
            self._assert(subscription)
            if not was_consumed and subscription.consumed is not None:
                self._outgoing.put(_nothing)  # so that it is written
                for function in self._opened:
                    function()

    def _publish(
        self,
        body: bytes,
        exchange: str,
        routing_key: str,
        mandatory: bool,
        properties: Mapping[str, Any],
    ) -> None:
        channel = self._channel
        others = dict(properties)
        headers = others.pop("headers", None)
        message = channel.prepare_message(body, headers=headers, properties=others, **JSON_PROPERTIES)
        if self.speaks_amqp:
            # What basic_publish does at last. Before that it reads from the socket, where another greenlet
            # reads already.
            channel.send_method(
                spec.Basic.Publish, "Bssbb", (0, exchange, routing_key, mandatory, False), message
            )
        else:
            channel.basic_publish(message, exchange=exchange, routing_key=routing_key)

    def _settle(self, message: kombu.Message, settle: Callable[[], None]) -> None:
        if message.channel is self._channel and not message.acknowledged:
            settle()

    def _cancel(self, subscription: Subscription) -> None:
        if subscription.consumer is None:
            return
        for tag in list(subscription.consumer._active_tags.values()):
            if self.speaks_amqp:
                # Without waiting for the answer: the greenlet that reads would get it.
                self._channel.send_method(spec.Basic.Cancel, "sb", (tag, True))
            else:
                self._channel.basic_cancel(tag)

    def _close(self) -> None:
        if self.speaks_amqp:
            self._channel.connection.send_method(spec.Connection.Close, "BsBB", (0, "", 0, 0))
        else:
            for queue in (queue for each in self._subscriptions for queue in each.consumer.queues):
                if queue.auto_delete:
                    queue(self._channel).delete()  # memory:// deletes no queue by itself
            raise LinkDown

    def _on_channel_closed(self, code: int, text: str, class_id: int, method_id: int) -> None:
        raise error_for_code(code, text, (class_id, method_id), ChannelError)

    def _on_cancelled(self, subscription: Subscription, _tag: str) -> None:
        """The broker consumes no more for us."""
        if subscription.consumed is not None:
            _log.warning("the queue %s was deleted: making it anew", subscription.consumed.name)
        subscription.consumed = subscription.consumer = None
        self.look_again()

    def _on_return(self, _error: Exception, _exchange: str, _routing_key: str, message: Any) -> None:
        for function in self._returned:
            function(message.properties)

    def _on_blocked(self, reason: str) -> None:
        self._blocked = True
        _log.warning("the broker takes nothing for now: %s", reason)

    def _on_unblocked(self) -> None:
        self._blocked = False
        _log.info("the broker takes messages again")


def _nothing() -> None:
    """What the writer does before it writes all that waits."""


class _Elapsed(Exception):
    """Opening took too long."""
