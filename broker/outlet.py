"""The broker as the outbox relay sees it: events go out persistent, and are confirmed many at a time.

Each goes to the exchange of its service, for whoever has bound a queue, and besides into every queue that
must have it (`broker/topology.py`), by that queue's name through the default exchange, which nobody can
delete or bind. The broker returns what finds no such queue. So a confirm without a return says that this very
queue took the event, whatever becomes of exchanges and bindings meanwhile.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import eventlet
import kombu
from cachetools import LRUCache
from kombu import Producer
from kombu.serialization import dumps
from nameko.constants import PERSISTENT

from broker import cloudevents, link
from broker.events import exchange
from broker.rpc_client import bounded_connection
from broker.tally import Tally
from broker.topology import all_required_queues, former_bindings, required_queues
from broker.upkeep import ASSERT_SECONDS, Troubles, Upkeep

_log = logging.getLogger(__name__)

BROKER_SECONDS = 3.0  # for the broker to take something, or to confirm all that was sent
GOODBYE_SECONDS = 1.0
MOST_TURNED_AWAY = 10_000  # events that are known as such; more than may be held
HEARTBEAT_SECONDS = 10


class Stalled(Exception):
    """The broker is there and takes nothing."""

    def __str__(self) -> str:
        return "the broker is there and does not answer"


# All that an outlet raises. What was sent and not settled may have been taken or not, and the outlet is of no
# more use.
BROKER_ERRORS = (*link.BROKER_ERRORS, Stalled)


class Outlet:
    """Publishes the events of `source`, in the order of the calls, on a connection that is open.

    Every method ends within some BROKER_SECONDS, by one of BROKER_ERRORS if need be.
    """

    def __init__(self, connection: kombu.Connection, source: str, troubles: Troubles | None = None) -> None:
        self._connection = connection
        self._source = source
        # kombu's broker in memory has an event when the call returns.
        self._confirms = connection.transport.driver_type == "amqp"
        self._last_tag = 0
        # By delivery tag: the event's id, and whether it went to a queue of ours, and not to the exchange.
        self._unconfirmed: dict[int, tuple[str, bool]] = {}
        self._turned_away: LRUCache[str, bool] = LRUCache(MOST_TURNED_AWAY)
        self._lost = Tally(_log, "a queue that somebody bound to %s turned an event away, twice")
        self._refused: set[str] = set()
        self._exchange = exchange(source)
        self._required = all_required_queues(source)
        self._serves: dict[str, bool] = {}  # which required queues were there when they were looked at
        with _bound():
            self._upkeep = Upkeep(connection.channel(), troubles or Troubles())
            self._takes = self._upkeep.exchange(self._exchange)
            self._asserted_at = time.monotonic()
            if self._confirms:
                for binding in former_bindings(source):
                    self._upkeep.unbind(*binding)
            self._channel = connection.channel()
            self._producer = Producer(self._channel, auto_declare=False)
            if self._confirms:
                self._channel.events["basic_ack"].add(self._on_ack)
                self._channel.events["basic_nack"].add(self._on_nack)
                self._channel.events["basic_return"].add(self._on_return)
                self._channel.confirm_select()

    def send(self, event_type: str, envelope: Mapping[str, Any]) -> None:
        """Hand over an event. Whether the broker takes it is for `settle` to say.

        Where a service must not miss it, its queue is there before; where that cannot be, it is not sent.
        """
        body = dumps(envelope, serializer="json")
        with _bound():
            required = required_queues(self._source, event_type)
            if not self._takes or not all(self._has(queue) for queue in required):
                self._refused.add(envelope["id"])
                return
            for queue in required:
                self._publish(envelope, body, "", queue.name)
            self._publish(envelope, body, self._exchange.name, event_type)

    def _has(self, queue: kombu.Queue) -> bool:
        if queue.name not in self._serves:
            self._serves[queue.name] = self._upkeep.queue(queue)
        return self._serves[queue.name]

    def _publish(
        self, envelope: Mapping[str, Any], body: tuple[str, str, str], exchange_name: str, routing_key: str
    ) -> None:
        content_type, content_encoding, text = body
        self._last_tag += 1
        if self._confirms:
            self._unconfirmed[self._last_tag] = envelope["id"], not exchange_name
        self._producer.publish(
            text,
            exchange=exchange_name,
            routing_key=routing_key,
            content_type=content_type,
            content_encoding=content_encoding,
            delivery_mode=PERSISTENT,
            mandatory=not exchange_name,
            message_id=envelope["id"],
            headers=cloudevents.headers(envelope),
        )

    def settle(self) -> set[str]:
        """Wait until the broker has answered for all that was sent; the ids of the events it did not take."""
        deadline = time.monotonic() + BROKER_SECONDS
        try:
            while self._unconfirmed:
                self._connection.drain_events(timeout=max(deadline - time.monotonic(), 0.001))
        except TimeoutError as error:
            raise Stalled from error
        refused, self._refused = self._refused, set()
        if refused:  # a queue may have been deleted: the next events declare anew what they need
            self._serves.clear()
        self._assert()
        return refused

    def keep_alive(self) -> None:
        """Tell the broker that we are there, and notice that it is not: to be called at least every few
        seconds, also while there is nothing to publish.
        """
        if self._confirms:
            with _bound():
                with suppress(TimeoutError):
                    self._connection.drain_events(timeout=0)
                self._connection.heartbeat_check()
            self._assert()

    def _assert(self) -> None:
        """Have everything there again, after a while: who starts to read must find it, and what was made in
        its place by somebody else must not take it.
        """
        if time.monotonic() - self._asserted_at > ASSERT_SECONDS:
            self._asserted_at = time.monotonic()
            with _bound():
                self._takes = self._upkeep.exchange(self._exchange)
                self._serves = {name: self._upkeep.queue(queue) for name, queue in self._required.items()}

    def _on_ack(self, tag: int, multiple: bool) -> None:
        for answered in self._answered(tag, multiple):
            self._unconfirmed.pop(answered, None)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        for answered in self._answered(tag, multiple):
            if (sent := self._unconfirmed.pop(answered, None)) is not None:
                self._note_refusal(*sent)

    def _note_refusal(self, event: str, ours: bool) -> None:
        """Of what goes to the exchange, anybody's queue may turn away everything: that is tried once more,
        and then holds nobody up.
        """
        if ours or event not in self._turned_away:
            self._refused.add(event)
            self._turned_away[event] = True
        else:
            self._lost.note(self._exchange.name, event)

    def _on_return(self, _error: object, _exchange: str, _routing_key: str, message: Any) -> None:
        """No queue was there for it. The ack that follows says only that the broker is done with it."""
        self._refused.add(message.properties["message_id"])

    def _answered(self, tag: int, multiple: bool) -> list[int]:
        """What an answer to `tag` is about: all that was sent up to it, where it is `multiple`."""
        return [sent for sent in self._unconfirmed if sent <= tag] if multiple else [tag]


@contextmanager
def outlet(amqp_uri: str, source: str, troubles: Troubles) -> Iterator[Outlet]:
    """An outlet on a connection of its own for the length of a `with`.

    Where that ends by an error the connection is dropped without a word: a frozen broker would not answer a
    goodbye.
    """
    connection = bounded_connection(amqp_uri, {}, HEARTBEAT_SECONDS)
    try:
        with _bound():
            # Without this kombu would try again by itself, after pauses of its own.
            connection.ensure_connection(max_retries=0)
        yield Outlet(connection, source, troubles)
        with eventlet.Timeout(GOODBYE_SECONDS, Stalled):
            connection.release()
    except BaseException:
        with suppress(Exception):  # one that was never opened has nothing to drop
            connection.collect()
        raise


def _bound() -> eventlet.Timeout:
    # No timeout of a socket's own reaches a write, nor a wait for an answer, that eventlet has made green.
    return eventlet.Timeout(BROKER_SECONDS, Stalled)
