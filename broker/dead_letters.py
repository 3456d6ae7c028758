"""Dead letters: the events that a service could not handle, kept with the reason until an operator decides.

Each service has one durable queue of them. They are put there by the consumer itself, confirmed, before it is
done with the event, rather than by a policy of the broker: so they carry what went wrong, and no broker has
to be set up for it.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import eventlet
import kombu
import orjson
from nameko.constants import PERSISTENT
from nameko.extensions import DependencyProvider

from broker import config
from broker.clock import iso
from broker.errors import Invalid, ServiceUnavailable
from broker.link import BROKER_ERRORS
from broker.rpc_client import open_connection

WORK_SECONDS = 4.0  # below the RPC deadline
MOST_LISTED = 1000
ERROR_CHARACTERS = 500
QUEUE, ERROR, ATTEMPTS, DIED_AT = "x-queue", "x-error", "x-attempts", "x-died-at"


class DeadLetterQueue:
    """The dead letters of the service `name`.

    Every method raises ServiceUnavailable where the broker does not do its share in time.
    """

    def __init__(self, name: str, settings: config.Settings) -> None:
        self._settings = settings
        self._queue = kombu.Queue(f"dead-letters.{name}", durable=True)

    def add(
        self, message: kombu.Message, queue: str, error: BaseException, attempts: int, now: datetime
    ) -> None:
        """Keep a message of `queue`; returns once the broker has it on its disk."""
        headers = {
            QUEUE: queue,
            ERROR: f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS],
            ATTEMPTS: attempts,
            DIED_AT: iso(now),
        }
        with self._channel() as channel:
            self._queue(channel).declare()
            _publish(channel, message, self._queue.name, headers, _id(message))

    def listed(self, limit: int = 100) -> list[dict[str, Any]]:
        """The oldest dead letters; they stay where they are.

        `{"id", "queue", "error", "attempts", "died_at", "event"}` each: `id` is the event's, `event` its
        envelope, or the text of a message that is none. `limit`: 1 to 1,000.
        """
        if type(limit) is not int or not 1 <= limit <= MOST_LISTED:
            raise Invalid(errors={"limit": f"must be a whole number from 1 to {MOST_LISTED}"})
        with self._channel() as channel:
            return [_shown(message) for message in self._messages(channel, limit)]

    def replay(self, event_id: str | None = None) -> int:
        """Give dead letters back to the queues they came from, all or the one; answers how many."""

        def give_back(channel: Any, message: kombu.Message) -> None:
            _publish(channel, message, message.headers[QUEUE], {}, _id(message))
            message.ack()

        return self._each(event_id, give_back)

    def discard(self, event_id: str) -> int:
        """Forget the dead letters of an event; answers how many there were."""
        return self._each(event_id, lambda _, message: message.ack())

    def _each(self, event_id: str | None, treat: Callable[[Any, kombu.Message], None]) -> int:
        count = 0
        with self._channel() as channel:
            for message in self._messages(channel, None):
                if event_id in (None, _id(message)):
                    treat(channel, message)
                    count += 1
        return count

    def _messages(self, channel: Any, limit: int | None) -> Iterator[kombu.Message]:
        """What lies in the queue now. Those that are not acknowledged go back when the channel closes."""
        queue = self._queue(channel)
        waiting = queue.queue_declare().message_count
        for _ in range(waiting if limit is None else min(waiting, limit)):
            if (message := queue.get()) is None:
                return
            yield message

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        options = {**self._settings.TRANSPORT_OPTIONS, "confirm_publish": True}
        try:
            with (
                eventlet.Timeout(WORK_SECONDS, ServiceUnavailable),
                open_connection(self._settings.AMQP_URI, options) as connection,
            ):
                connection.ensure_connection(max_retries=0)
                with connection.channel() as channel:
                    yield channel
        except BROKER_ERRORS as error:
            raise ServiceUnavailable from error


class DeadLetters(DependencyProvider):
    """Injects the DeadLetterQueue of the service."""

    def setup(self) -> None:
        self.queue = DeadLetterQueue(self.container.service_name, config.settings(self.container.config))

    def get_dependency(self, worker_ctx: Any) -> DeadLetterQueue:  # noqa: ARG002
        return self.queue


def _publish(
    channel: Any, message: kombu.Message, queue: str, headers: Mapping[str, Any], message_id: str
) -> None:
    kombu.Producer(channel).publish(
        message.body,
        routing_key=queue,
        content_type=message.content_type or "application/octet-stream",
        content_encoding=message.content_encoding or "binary",
        delivery_mode=PERSISTENT,
        mandatory=True,
        headers=dict(headers),
        message_id=message_id,
    )


def _id(message: kombu.Message) -> str:
    """The id of the event, or for what is none one that it keeps from now on."""
    if kept := message.properties.get("message_id"):
        return str(kept)
    event = _event(message)
    return str(event["id"]) if isinstance(event, dict) and "id" in event else uuid.uuid4().hex


def _event(message: kombu.Message) -> Any:
    try:
        return orjson.loads(message.body)
    except orjson.JSONDecodeError:
        body = message.body
        return body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)


def _shown(message: kombu.Message) -> dict[str, Any]:
    headers = message.headers
    return {
        "id": _id(message),
        "queue": headers.get(QUEUE),
        "error": headers.get(ERROR),
        "attempts": headers.get(ATTEMPTS),
        "died_at": headers.get(DIED_AT),
        "event": _event(message),
    }
