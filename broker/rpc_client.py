"""Nameko's RPC for a process without Nameko: the notifier, a health check. Imports no eventlet."""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import kombu
from kombu.exceptions import OperationalError
from nameko.exceptions import deserialize

from broker.decoding import Malformed, object_of
from broker.errors import DeadlineExceeded, ServiceUnavailable
from broker.reading import BrokerConnection

RPC_EXCHANGE = kombu.Exchange("nameko-rpc", type="topic", durable=True)
TRANSIENT = 1
# What callers say of themselves with each call: that they are of this release or a later one, which check
# tokens of TOKEN_TYPE. The release before says nothing.
CALLER = "movie-review-platform/2"


CONNECT_SECONDS = 3.0
SOCKET_SECONDS = 2.0


class BrokerBlocked(ServiceUnavailable):
    """The broker takes no messages for now, and says so: an alarm of its memory's or its disk's."""


def bounded_connection(
    uri: str, transport_options: Mapping[str, Any], heartbeat: int = 0
) -> kombu.Connection:
    """An unopened connection to the broker, whose every wait is bounded; `heartbeat` in seconds, 0 for none.

    Raises whatever kombu raises for a URI that it cannot read.
    """
    bounds = {"read_timeout": SOCKET_SECONDS, "write_timeout": SOCKET_SECONDS}
    connection = BrokerConnection(
        uri,
        connect_timeout=CONNECT_SECONDS,
        heartbeat=heartbeat,
        transport_options={**bounds, **transport_options},
    )
    connection.get_transport_cls()
    return connection


@contextmanager
def open_connection(uri: str, transport_options: Mapping[str, Any]) -> Iterator[kombu.Connection]:
    """A bounded connection for the length of a `with`.

    Where that ends by an error it is dropped without a word: a broker that is frozen would keep us waiting
    for its answer to a polite goodbye.
    """
    connection = bounded_connection(uri, transport_options)
    try:
        yield connection
    except BaseException:
        with suppress(AttributeError):  # one that was never opened has nothing to drop
            connection.collect()
        raise
    connection.release()


def consumers_of(connection: kombu.Connection, queue: str) -> int:
    """How many consume a queue; raises what kombu and its driver raise, for one that is not there too."""
    with connection.channel() as channel:
        return int(channel.queue_declare(queue, passive=True).consumer_count)


def outcome(body: Mapping[str, Any]) -> Any:
    """The result that a reply carries; raises the error that it carries instead, or ServiceUnavailable for
    a reply that is none.
    """
    if not (error := body.get("error")):
        return body.get("result")
    try:
        exception = deserialize(error)
    except (AttributeError, TypeError, ValueError):
        raise ServiceUnavailable from None
    raise exception


def call(
    connection: kombu.Connection,
    method: str,
    *args: Any,
    seconds: float,
    kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Call `method` (`"auth.status"`) over `connection` and wait for its answer.

    Raises ServiceUnavailable where the broker cannot be reached or has no queue for the call, BrokerBlocked
    where it takes nothing, DeadlineExceeded after `seconds` without an answer, and what the service itself
    raised.
    """
    replies: list[Mapping[str, Any]] = []
    returned: list[Any] = []
    blocked: list[Any] = []
    correlation_id = uuid.uuid4().hex

    def receive(message: kombu.Message) -> None:
        message.ack()
        if message.properties.get("correlation_id") == correlation_id:
            with suppress(Malformed):
                replies.append(object_of(message.body))

    reply_to = f"rpc.reply-{correlation_id}"
    queue = kombu.Queue(reply_to, RPC_EXCHANGE, routing_key=reply_to, exclusive=True, auto_delete=True)
    deadline = time.monotonic() + seconds
    failures = (OperationalError, OSError, *connection.connection_errors, *connection.channel_errors)
    try:
        # Without this kombu would try again by itself, after pauses of its own.
        connection.ensure_connection(max_retries=0)
        with connection.channel() as channel, kombu.Consumer(channel, [queue], on_message=receive):
            if hasattr(channel, "events"):  # a broker in memory returns nothing, and is never blocked
                channel.events["basic_return"].add(lambda *of: returned.append(of))
                connection.connection.on_blocked = blocked.append
            kombu.Producer(channel, RPC_EXCHANGE).publish(
                {"args": args, "kwargs": kwargs or {}},
                routing_key=method,
                serializer="json",
                delivery_mode=TRANSIENT,
                mandatory=True,
                app_id=CALLER,
                reply_to=reply_to,
                correlation_id=correlation_id,
                expiration=seconds,
            )
            while not replies:
                if returned:
                    raise ServiceUnavailable
                if blocked:
                    raise BrokerBlocked
                connection.drain_events(timeout=max(deadline - time.monotonic(), 0.001))
    except TimeoutError as error:
        # A broker that takes nothing does not hear that we consume no more either.
        raise (BrokerBlocked if blocked else DeadlineExceeded) from error
    except failures as error:
        raise (BrokerBlocked if blocked else ServiceUnavailable) from error
    finally:
        # memory:// deletes no queue by itself.
        if connection.connected and not blocked:
            with suppress(*failures):
                queue(connection.default_channel).delete()
    return outcome(replies[0])
