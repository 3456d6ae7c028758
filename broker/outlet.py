"""The broker as the outbox relay sees it: events go out persistent, and are confirmed many at a time."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import eventlet
import kombu
from kombu import Producer
from nameko.constants import PERSISTENT

from broker import cloudevents, link
from broker.events import exchange
from broker.rpc_client import bounded_connection
from broker.topology import REVIEW_STREAM, required_queues

BROKER_SECONDS = 3.0  # for the broker to take something, or to confirm all that was sent
GOODBYE_SECONDS = 1.0
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

    def __init__(self, connection: kombu.Connection, source: str) -> None:
        self._connection = connection
        self._source = source
        # kombu's broker in memory has an event when the call returns.
        self._confirms = connection.transport.driver_type == "amqp"
        self._last_tag = 0
        self._unconfirmed: dict[int, str] = {}  # delivery tag → id of the event
        self._refused: set[str] = set()
        self._declared: set[str] = set()  # queues
        with _bound():
            self._channel = connection.channel()
            self._producer = Producer(self._channel, exchange(source), serializer="json")
            self._producer.maybe_declare(self._producer.exchange)
            if self._confirms:
                self._channel.events["basic_ack"].add(self._on_ack)
                self._channel.events["basic_nack"].add(self._on_nack)
                self._channel.events["basic_return"].add(self._on_return)
                self._channel.confirm_select()

    def send(self, event_type: str, envelope: Mapping[str, Any]) -> None:
        """Hand over an event. Whether the broker takes it is for `settle` to say.

        Where a service must not miss it, its queue is there before.
        """
        queues = required_queues(self._source, event_type)
        with _bound():
            for queue in queues:
                if queue.name not in self._declared:
                    queue(self._channel).declare()
                    self._declared.add(queue.name)
            self._last_tag += 1
            if self._confirms:
                self._unconfirmed[self._last_tag] = envelope["id"]
            self._producer.publish(
                envelope,
                routing_key=event_type,
                delivery_mode=PERSISTENT,
                mandatory=bool(queues),
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
        # Queues can be deleted: the next events declare anew what they need. Not the stream, which takes 3 ms
        # to declare: its readers see it go, and what was in it is gone anyway.
        self._declared = set() if refused else self._declared & {REVIEW_STREAM}
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

    def _on_ack(self, tag: int, multiple: bool) -> None:
        for answered in self._answered(tag, multiple):
            self._unconfirmed.pop(answered, None)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        for answered in self._answered(tag, multiple):
            if (event := self._unconfirmed.pop(answered, None)) is not None:
                self._refused.add(event)

    def _on_return(self, _error: object, _exchange: str, _routing_key: str, message: Any) -> None:
        """No queue was there for it. The ack that follows says only that the broker is done with it."""
        self._refused.add(message.properties["message_id"])

    def _answered(self, tag: int, multiple: bool) -> list[int]:
        """What an answer to `tag` is about: all that was sent up to it, where it is `multiple`."""
        return [sent for sent in self._unconfirmed if sent <= tag] if multiple else [tag]


@contextmanager
def outlet(amqp_uri: str, source: str) -> Iterator[Outlet]:
    """An outlet on a connection of its own for the length of a `with`.

    Where that ends by an error the connection is dropped without a word: a frozen broker would not answer a
    goodbye.
    """
    connection = bounded_connection(amqp_uri, {}, HEARTBEAT_SECONDS)
    try:
        with _bound():
            # Without this kombu would try again by itself, after pauses of its own.
            connection.ensure_connection(max_retries=0)
        yield Outlet(connection, source)
        with eventlet.Timeout(GOODBYE_SECONDS, Stalled):
            connection.release()
    except BaseException:
        with suppress(Exception):  # one that was never opened has nothing to drop
            connection.collect()
        raise


def _bound() -> eventlet.Timeout:
    # No timeout of a socket's own reaches a write, nor a wait for an answer, that eventlet has made green.
    return eventlet.Timeout(BROKER_SECONDS, Stalled)
