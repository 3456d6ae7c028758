"""What the platform has at the broker, and how each of it is deleted."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Deletion:
    """One deed at the broker: what is deleted, and how."""

    what: str
    how: str
    act: Callable[[], object]


def deletions(rabbitmq: RabbitMq) -> Iterator[Deletion]:
    """Each exchange, queue and binding once."""
    broker = Broker(rabbitmq)
    for name in EXCHANGES:
        yield Deletion(f"exchange {name}", "deleted", lambda name=name: broker.delete_exchange(name))
        yield Deletion(
            f"exchange {name}",
            "deleted, made again and bound by another client",
            lambda name=name: broker.take_over_exchange(name),
        )
    for name in QUEUES:
        yield Deletion(
            f"queue {name}",
            "deleted",
            lambda name=name: rabbitmq.delete_queue(broker.made(name)),
        )
    for prefix in OWN_QUEUES:
        yield Deletion(
            f"queue {prefix}…",
            "deleted, of one instance",
            lambda prefix=prefix: rabbitmq.delete_queue(broker.full_name(prefix)),
        )
    for exchange, queue, key in BINDINGS:
        shown = queue + ("…" if queue.endswith("-") else "")
        yield Deletion(
            f"binding of {shown} to {exchange} by {key}",
            "deleted",
            lambda each=(exchange, queue, key): rabbitmq.delete_binding(
                each[0], broker.full_name(each[1]), each[2]
            ),
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

    def full_name(self, name: str) -> str:
        """Of the first queue whose name begins so."""
        return next(each for each in sorted(self._rabbitmq.queues()) if each.startswith(name))

    def made(self, name: str) -> str:
        """The name, of a queue that is there: that of dead letters is made for the first of them."""
        if name.startswith("dead-letters."):
            with kombu.Connection(self._rabbitmq.url) as connection:
                kombu.Queue(name, durable=True)(connection.default_channel).declare()
        return name
