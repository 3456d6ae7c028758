"""What the platform has at the broker, and how each of it is deleted."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import kombu

from tests.servers import RabbitMq

EXCHANGES = ("nameko-rpc", "auth.events", "movies.events", "notifications.events")
QUEUES = (
    "rpc-auth",
    "rpc-movies",
    "evt-auth-user_updated--movies.handle_user_updated",
    "evt-auth-user_deleted--movies.handle_user_deleted",
    "notifications.reviews",
    "dead-letters.movies",
)
# One of each kind: an instance's own, whose names begin so. What follows is new each time.
OWN_QUEUES = (
    "evt-auth-session_revoked--gateway.handle_session_revoked-",
    "evt-auth-user_updated--gateway.handle_user_updated-",
    "notifications-",
)
BINDINGS = (
    ("nameko-rpc", "rpc-auth", "auth.*"),
    ("nameko-rpc", "rpc-movies", "movies.*"),
    ("auth.events", OWN_QUEUES[0], "session_revoked"),
    ("auth.events", OWN_QUEUES[1], "user_updated"),
    ("auth.events", OWN_QUEUES[2], "session_revoked"),
    ("auth.events", OWN_QUEUES[2], "user_updated"),
    ("notifications.events", OWN_QUEUES[2], "#"),
)

OURS = ("rpc-", "evt-", "notifications")  # how the names of the platform's queues begin
TAKEN_OVER = "deleted, made again and bound by another client"


@dataclass(frozen=True)
class Deletion:
    """One deed at the broker: what is deleted, and how. `count` tells how much of it there is."""

    what: str
    how: str
    act: Callable[[], object]
    count: Callable[[], int]


def deletions(rabbitmq: RabbitMq) -> Iterator[Deletion]:
    """Each exchange, queue and binding once."""
    broker = Broker(rabbitmq)
    for name in EXCHANGES:
        bound = partial(broker.count_bindings, name)
        yield Deletion(f"exchange {name}", "deleted", partial(broker.delete_exchange, name), bound)
        yield Deletion(f"exchange {name}", TAKEN_OVER, partial(broker.take_over_exchange, name), bound)
    for name in QUEUES:
        act = partial(broker.delete_queue, name)
        yield Deletion(f"queue {name}", "deleted", act, partial(broker.count_queues, name))
    for prefix in OWN_QUEUES:
        act = partial(broker.delete_queue, prefix)
        yield Deletion(
            f"queue {prefix}…", "deleted, of one instance", act, partial(broker.count_queues, prefix)
        )
    for exchange, queue, key in BINDINGS:
        shown = queue + ("…" if queue.endswith("-") else "")
        yield Deletion(
            f"binding of {shown} to {exchange} by {key}",
            "deleted",
            partial(broker.delete_binding, exchange, queue, key),
            partial(broker.count_bindings, exchange, queue, key),
        )


class Broker:
    """RabbitMQ in the hands of somebody who may do anything there."""

    def __init__(self, rabbitmq: RabbitMq) -> None:
        self._rabbitmq = rabbitmq

    def delete_exchange(self, name: str) -> None:
        with kombu.Connection(self._rabbitmq.url) as connection:
            connection.default_channel.exchange_delete(name)

    def take_over_exchange(self, name: str) -> None:
        """Delete it, make it again as it was, and bind a queue that takes everything."""
        with kombu.Connection(self._rabbitmq.url) as connection:
            connection.default_channel.exchange_delete(name)
            exchange = kombu.Exchange(name, "topic", durable=True)
            queue = kombu.Queue(f"taken-{uuid.uuid4().hex}", exchange, routing_key="#", expires=60)
            queue(connection.default_channel).declare()

    def delete_queue(self, name: str) -> None:
        """The first whose name begins so. That of dead letters is made for the first of them, so now."""
        if name.startswith("dead-letters."):
            with kombu.Connection(self._rabbitmq.url) as connection:
                kombu.Queue(name, durable=True)(connection.default_channel).declare()
        self._rabbitmq.delete_queue(self._full_name(name))

    def delete_binding(self, exchange: str, queue: str, key: str) -> None:
        self._rabbitmq.delete_binding(exchange, self._full_name(queue), key)

    def count_queues(self, name: str) -> int:
        """Those whose names begin so; the one of dead letters is only there when it is needed."""
        if name.startswith("dead-letters."):
            return 0
        return sum(each.startswith(name) for each in self._rabbitmq.queues())

    def count_bindings(self, exchange: str, queue: str = "", key: str | None = None) -> int:
        """Those of the platform's queues whose names begin so."""
        return sum(
            source == exchange
            and destination.startswith(queue or OURS)
            and (key is None or key == routing_key)
            for source, destination, routing_key in self._rabbitmq.bindings()
        )

    def _full_name(self, name: str) -> str:
        return next(each for each in sorted(self._rabbitmq.queues()) if each.startswith(name))
