"""Consuming events: at least once, with bounded retry and dead letters.

    @event_handler("auth", "user_updated")
    def handle_user_updated(self, event: Envelope) -> None: ...

The method gets the event's Envelope. Where it raises, it gets the event again, after pauses that grow, and
after MOST_ATTEMPTS, or at once where a model refuses it, the event is a dead letter (`broker/aside.py`).
Trouble that is not the event's fault, a database that is away, is waited out and does not count. The queue is
Nameko's for such a handler, shared by all instances of the service, durable: what happens while none runs is
handled by the next.

At least once: an event comes again where an instance dies at work, or the relay did. And what it says is a
hint: a handler asks whoever owns it, and does what is true by then, once or twice alike.
"""

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import eventlet
import kombu
from nameko.exceptions import ContainerBeingKilled
from nameko.extensions import Entrypoint
from pydantic import ValidationError

from broker.aside import Aside
from broker.draining import Draining
from broker.errors import Unavailable
from broker.events import Envelope, exchange, received
from broker.link import Link, Subscription
from broker.suspects import Suspects
from broker.tally import Tally
from broker.topology import is_required, queue_name

_log = logging.getLogger(__name__)

MOST_ATTEMPTS = 5
# Seconds after the first failure, the second …; the last one for all that follow.
PAUSES = (0.1, 0.5, 2.0, 5.0)
PREFETCH_EVENTS = 10


class EventHandler(Entrypoint):
    """The entrypoint behind `event_handler`. `source` is the service that announces, `event_type` what.

    `each_instance`: every instance gets every event while it is there, by a queue of its own that ends with
    its connection. Then an event that fails is logged and gone: what an instance must know it reads anew when
    its link opens.
    """

    link = Link()
    aside = Aside()
    suspects = Suspects()
    draining = Draining()

    def __init__(self, source: str, event_type: str, *, each_instance: bool = False, **options: Any) -> None:
        self.source = source
        self.event_type = event_type
        self.each_instance = each_instance
        super().__init__(**options)

    def setup(self) -> None:
        service = self.container.service_name
        handler = f"{service}.{self.method_name}"
        self._name = queue_name(self.source, self.event_type, handler)
        self._is_required = is_required(self.source, self.event_type, handler)
        self._stopping = False
        self._failures = Tally(_log, "%s could not handle an event")
        self._subscription = Subscription(self._queue, self._receive, self._give_up, prefetch=PREFETCH_EVENTS)
        self.link.subscribe(self._subscription)

    def stop(self) -> None:
        self.draining.wait()
        self._stopping = True
        self.link.unsubscribe(self._subscription)

    def _queue(self) -> kombu.Queue:
        if self._is_required:
            return kombu.Queue(self._name, durable=True)
        bound = partial(kombu.Queue, exchange=exchange(self.source), routing_key=self.event_type)
        if not self.each_instance:
            return bound(self._name, durable=True)
        # A new name each time: the broker may still hold a lost connection's exclusive queue.
        return bound(f"{self._name}-{uuid.uuid4().hex}", durable=False, exclusive=True, auto_delete=True)

    def _receive(self, message: kombu.Message) -> None:
        # Never in this greenlet, which reads: the work may wait for a free worker, or for the broker.
        try:
            event = received(message.body, self.source, self.event_type)
        except ValueError as error:
            self._give_up(message, error)
            return
        self._begin(Delivery(message, event))

    def _begin(self, delivery: "Delivery") -> None:
        begin = partial(self._aside, partial(self._attempt, delivery))
        if self.suspects.is_one(delivery.message):
            self.suspects.add(delivery.message, self._name, begin)
        else:
            begin()

    def _aside(self, work: Callable[[], None]) -> None:
        self.container.spawn_managed_thread(work, identifier=self._name)

    def _attempt(self, delivery: "Delivery") -> None:
        if self._stopping:
            self.link.requeue(delivery.message)
        elif self.link.holds(delivery.message):  # otherwise the broker gives the event out anew
            try:
                handled = partial(self._handled, delivery)
                self.container.spawn_worker(self, (delivery.event,), {}, handle_result=handled)
            except ContainerBeingKilled:
                self.link.requeue(delivery.message)

    def _handled(self, delivery: "Delivery", _worker: Any, result: Any, exc_info: Any) -> tuple[Any, Any]:
        self.suspects.end(delivery.message)
        if exc_info is None:
            self.link.ack(delivery.message)
        else:
            self._failed(delivery, exc_info[1])
        return result, exc_info

    def _failed(self, delivery: "Delivery", error: Exception) -> None:
        delivery.failures += 1
        delivery.attempts += not isinstance(error, Unavailable)
        # What a model refuses it refuses the next time as well.
        final = self.each_instance or isinstance(error, ValidationError)
        if final or delivery.attempts >= MOST_ATTEMPTS:
            self._give_up(delivery.message, error, delivery.attempts)
            return
        pause = PAUSES[min(delivery.failures, len(PAUSES)) - 1]
        self._failures.note(
            self._name, f"{type(error).__name__} at {delivery.event.id}, again in {pause:g} s"
        )
        eventlet.spawn_after(pause, self._begin, delivery)

    def _give_up(self, message: kombu.Message, error: Exception, attempts: int = 1) -> None:
        """Be done with a message, once it is kept as a dead letter where others do not have it as well."""
        if self.each_instance:
            self.aside.drop(message, self._name, error)
        else:
            self.aside.put(message, self._name, error, attempts)


@dataclass
class Delivery:
    """An event that is being handled, and how that went so far."""

    message: kombu.Message
    event: Envelope
    failures: int = 0
    attempts: int = 0  # the failures that were the event's own


event_handler = EventHandler.decorator
