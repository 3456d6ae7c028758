"""Dead letters: the messages that a service could not handle or not even read, kept with the reason until an
operator decides.

Each service has one durable queue of them. They are put there by the consumer itself, confirmed, before it is
done with the message, rather than by a policy of the broker: so they carry what went wrong, and no broker has
to be set up for it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import eventlet
import kombu
import orjson
from nameko.constants import PERSISTENT
from nameko.extensions import DependencyProvider

from broker import config
from broker.errors import Invalid, ServiceUnavailable
from broker.letters import QUEUE, Letter, body_of, is_kept_unread, letter_id, shown
from broker.link import BROKER_ERRORS
from broker.reading import unreadable
from broker.rpc_client import open_connection

WORK_SECONDS = 4.0  # below the RPC deadline
BUSY_SECONDS = 3.0  # after which no other letter is begun
MOST_KEPT = 100_000
MOST_LISTED = 1000
MOST_LISTED_BYTES = 2 * 2**20
MOST_REASONS = 100
UNREADABLE_LETTER = "it cannot be read"
FROM_NOWHERE = "it does not say which queue it came from"
FROM_ELSEWHERE = "it did not come from a queue of this service"
QUEUE_GONE = "its queue is gone"


class DeadLetterQueue:
    """The dead letters of the service `name`.

    Every method raises ServiceUnavailable where the broker does not do its share in time.
    """

    def __init__(self, name: str, settings: config.Settings) -> None:
        self._name = name
        self._settings = settings
        self._queue = kombu.Queue(f"dead-letters.{name}", durable=True)

    @contextmanager
    def adding(self) -> Iterator[Callable[[Sequence[Letter]], list[Letter]]]:
        """A function that keeps letters, for the length of a `with`: it returns once the broker has them on
        its disk. It answers those that it did not keep: where MOST_KEPT lie there, what nobody can read.
        """
        with self._channel() as channel:
            waiting = self._queue(channel).queue_declare().message_count
            confirmed = Confirmed(channel)

            def add(letters: Sequence[Letter]) -> list[Letter]:
                nonlocal waiting
                full = waiting >= MOST_KEPT
                left = [each for each in letters if full and unreadable(each.message) is not None]
                kept = [each for each in letters if each not in left]
                with eventlet.Timeout(WORK_SECONDS, ServiceUnavailable):
                    for letter in kept:
                        confirmed.publish(letter.message, self._queue.name, letter.headers())
                    if not confirmed.settle():
                        raise ServiceUnavailable
                waiting += len(kept)
                return left

            yield add

    def listed(self, limit: int = 100) -> list[dict[str, Any]]:
        """The oldest dead letters; they stay where they are.

        `{"id", "queue", "error", "attempts", "died_at", "event", "properties"}` each: `id` is the event's, or
        one made from what it holds; `event` its envelope, or the text of a message that is none, with `\\xff`
        for what is no text; `properties` the same of a message whose properties could not be read, and null
        of others. `limit`: 1 to 1,000; fewer where they are large.
        """
        if type(limit) is not int or not 1 <= limit <= MOST_LISTED:
            raise Invalid(errors={"limit": f"must be a whole number from 1 to {MOST_LISTED}"})
        letters: list[dict[str, Any]] = []
        room = MOST_LISTED_BYTES
        with self._at_work() as channel:
            for message in self._messages(channel, limit):
                letters.append(shown(message))
                room -= len(orjson.dumps(letters[-1]))
                if room <= 0:
                    break
        return letters

    def replay(self, event_id: str | None = None) -> dict[str, Any]:
        """Give dead letters back to the queues they came from, all or the one.

        `{"replayed": int, "left": [{"id", "queue", "reason"}], "more": bool}`: how many went back, which
        could not and stay where they are (the first 100 of them), and whether the time was over before all
        were looked at.
        """
        if not isinstance(event_id, str | None):
            raise Invalid(errors={"event_id": "must be the id of a dead letter"})
        count, left, more = 0, list[dict[str, Any]](), False
        until = time.monotonic() + BUSY_SECONDS
        with self._at_work() as channel:
            confirmed = Confirmed(channel)
            for message in self._messages(channel, None):
                if more := time.monotonic() > until:
                    break
                if event_id not in (None, letter_id(message)):
                    continue
                if (reason := self._give_back(confirmed, message)) is None:
                    message.ack()
                    count += 1
                elif len(left) < MOST_REASONS:
                    letter = shown(message)
                    left.append({"id": letter["id"], "queue": letter["queue"], "reason": reason})
        return {"replayed": count, "left": left, "more": more}

    def discard(self, event_id: str) -> int:
        """Forget the dead letters of an event; answers how many there were."""
        count = 0
        with self._at_work() as channel:
            for message in self._messages(channel, None):
                if event_id == letter_id(message):
                    message.ack()
                    count += 1
        return count

    def _give_back(self, confirmed: "Confirmed", message: kombu.Message) -> str | None:
        """Why a letter cannot go back; None once it has."""
        if unreadable(message) is not None or is_kept_unread(message.headers):
            return UNREADABLE_LETTER
        queue = message.headers.get(QUEUE)
        if not isinstance(queue, str) or not queue:
            return FROM_NOWHERE
        if queue != f"rpc-{self._name}" and not (queue.startswith("evt-") and f"--{self._name}." in queue):
            return FROM_ELSEWHERE
        confirmed.publish(message, queue, {})
        return None if confirmed.settle() else QUEUE_GONE

    def _messages(self, channel: Any, limit: int | None) -> Iterator[kombu.Message]:
        """What lies in the queue now. Those that are not acknowledged go back when the channel closes."""
        queue = self._queue(channel)
        waiting = queue.queue_declare().message_count
        for _ in range(waiting if limit is None else min(waiting, limit)):
            if (message := queue.get()) is None:
                return
            yield message

    @contextmanager
    def _at_work(self) -> Iterator[Any]:
        with eventlet.Timeout(WORK_SECONDS, ServiceUnavailable), self._channel() as channel:
            yield channel

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        try:
            with open_connection(self._settings.AMQP_URI, self._settings.TRANSPORT_OPTIONS) as connection:
                with eventlet.Timeout(WORK_SECONDS, ServiceUnavailable):
                    connection.ensure_connection(max_retries=0)
                    channel = connection.channel()
                yield channel
                with eventlet.Timeout(WORK_SECONDS, ServiceUnavailable):
                    channel.close()
        except BROKER_ERRORS as error:
            raise ServiceUnavailable from error


class Confirmed:
    """Publishes to queues on a channel of its own, persistent, and confirmed by the broker."""

    def __init__(self, channel: Any) -> None:
        self._producer = kombu.Producer(channel)
        self._connection = channel.connection
        self._last = 0
        self._unconfirmed: set[int] = set()  # delivery tags
        self._returned = False
        # kombu's broker in memory has a message when the call returns.
        self._confirms = hasattr(channel, "confirm_select")
        if self._confirms:
            channel.events["basic_ack"].add(self._on_answer)
            channel.events["basic_nack"].add(self._on_refusal)
            channel.events["basic_return"].add(self._on_return)
            channel.confirm_select()

    def publish(self, message: kombu.Message, queue: str, headers: Mapping[str, Any]) -> None:
        """Of its properties and headers only the form of its body goes along: the others are for those who
        were to read it, or bid the broker do something with it.
        """
        self._producer.publish(
            body_of(message),
            routing_key=queue,
            content_type=message.content_type or "application/octet-stream",
            content_encoding=message.content_encoding or "binary",
            delivery_mode=PERSISTENT,
            mandatory=True,
            headers=dict(headers),
            message_id=letter_id(message),
        )
        self._last += 1
        if self._confirms:
            self._unconfirmed.add(self._last)

    def settle(self) -> bool:
        """Wait until the broker has answered for all that was published: whether queues took all of it."""
        while self._unconfirmed:
            self._connection.drain_events(timeout=WORK_SECONDS)
        returned, self._returned = self._returned, False
        return not returned

    def _on_answer(self, tag: int, multiple: bool) -> None:
        answered = {sent for sent in self._unconfirmed if sent <= tag} if multiple else {tag}
        self._unconfirmed -= answered

    def _on_refusal(self, tag: int, multiple: bool) -> None:
        self._returned = True
        self._on_answer(tag, multiple)

    def _on_return(self, *_returned: Any) -> None:
        self._returned = True


class DeadLetters(DependencyProvider):
    """Injects the DeadLetterQueue of the service."""

    def setup(self) -> None:
        self.queue = DeadLetterQueue(self.container.service_name, config.settings(self.container.config))

    def get_dependency(self, worker_ctx: Any) -> DeadLetterQueue:  # noqa: ARG002
        return self.queue
