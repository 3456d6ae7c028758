"""Exchanges, queues and bindings are asserted: when a connection opens, and anew every few seconds.

Whoever may configure the broker may delete them, and their owner is not told of a binding that went with an
exchange. What is gone is made again; what somebody made in another form is left alone, used as far as it
serves, and said in one line. Nothing here closes a connection: an error of the broker's ends the channel that
is kept for this, and is the answer to one step.
"""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from amqp.exceptions import AccessRefused, ChannelError, NotFound, PreconditionFailed
from kombu import Exchange, Queue

_log = logging.getLogger(__name__)

ASSERT_SECONDS = 3.0
SAY_AGAIN_SECONDS = 600.0  # while it lasts
# What RabbitMQ says of an exchange of another type: that one routes by other rules, and ours serve nobody.
WRONG_TYPE = "inequivalent arg 'type'"
# And of one that nobody may publish to: whoever tries loses his channel.
INTERNAL = "inequivalent arg 'internal'"


class Troubles:
    """What is not as it must be at the broker and cannot be mended from here; each is said once."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[str, float]] = {}  # by what it is about, why and when
        self._serious: dict[str, None] = {}

    @property
    def serious(self) -> str | None:
        """A sentence on one of those with which we cannot do our work."""
        return next((f"The {what} is not as it must be at the broker" for what in self._serious), None)

    def note(self, what: str, why: str, advice: str, *, serious: bool) -> None:
        before = self._said.get(what)
        if before is None or before[0] != why or time.monotonic() - before[1] > SAY_AGAIN_SECONDS:
            _log.error("the %s is not as it must be (%s): %s", what, why, advice)
            self._said[what] = (why, time.monotonic())
        self._serious.pop(what, None)
        if serious:
            self._serious[what] = None

    def over(self, what: str) -> None:
        if self._said.pop(what, None):
            self._serious.pop(what, None)
            _log.info("the %s is as it must be again", what)


class Upkeep:
    """Asserts things over `channel`, which is used for nothing else."""

    def __init__(self, channel: Any, troubles: Troubles) -> None:
        self.channel = channel
        self._troubles = troubles
        self._not_ours: set[str] = set()  # exchanges that we may use and not make

    def exchange(self, exchange: Exchange) -> bool:
        """Have it there. What may not be declared by us is for its owner to make. Whether it can be published
        to.
        """
        what, bound = f"exchange {exchange.name}", exchange(self.channel)
        error: Exception | None = None
        if exchange.name not in self._not_ours:
            error = self._failure(bound.declare)
            if isinstance(error, AccessRefused):
                self._not_ours.add(exchange.name)
        if exchange.name in self._not_ours:
            error = self._failure(lambda: bound.declare(passive=True))
        if error is None:
            self._troubles.over(what)
            return True
        why = reason(error)
        is_there = isinstance(error, PreconditionFailed)
        takes = is_there and INTERNAL not in why
        if is_there:
            advice = "whoever made it so has to delete it, and it is made anew"
        else:
            advice = "its owner has to be started, or this service be allowed to make it"
        self._troubles.note(what, why, advice, serious=not takes or WRONG_TYPE in why)
        return takes

    def queue(self, queue: Queue) -> bool:
        """Have it there and bound, as far as that can be. Whether it is there, in a form that serves."""
        for exchange in {exchange.name: exchange for exchange, _ in bindings(queue)}.values():
            self.exchange(exchange)
        if not self._declare(queue):
            return False
        for exchange, routing_key in bindings(queue):
            self._bind(queue.name, exchange.name, routing_key)
        return True

    def unbind(self, queue: str, exchange: str, routing_key: str) -> None:
        """Where there is such a binding and we may."""
        self._failure(lambda: self.channel.queue_unbind(queue, exchange, routing_key))

    def _declare(self, queue: Queue) -> bool:
        what, bound = f"queue {queue.name}", queue(self.channel)
        error = self._failure(bound.queue_declare)
        if error is None:
            self._troubles.over(what)
            return True
        # A queue serves as it is; what should be a stream may be none, which RabbitMQ does not say as such.
        serves = not _is_stream(queue) and self._failure(lambda: bound.queue_declare(passive=True)) is None
        advice = "delete it when what is in it may go, and it is made anew"
        self._troubles.note(what, reason(error), advice, serious=not serves)
        return serves

    def _bind(self, queue: str, exchange: str, routing_key: str) -> None:
        what = f"binding of {queue} to {exchange} by {routing_key}"
        error = self._failure(lambda: self.channel.queue_bind(queue, exchange, routing_key))
        if error is None:
            self._troubles.over(what)
        elif not isinstance(
            error, NotFound
        ):  # of what is not there, enough was said, or it is made next time
            advice = "this service has to be allowed to bind it"
            self._troubles.note(what, reason(error), advice, serious=True)

    def _failure(self, step: Callable[[], object]) -> Exception | None:
        """What the broker has against a step; None where it is done."""
        if not getattr(self.channel, "is_open", True):  # the last error closed it
            self.channel.open()
        try:
            step()
        except ChannelError as error:
            return error
        return None


def bindings(queue: Queue) -> Iterator[tuple[Exchange, str]]:
    """The exchanges that it is bound to, and by which key; not the default one, to which all are."""
    for each in queue.bindings or [queue]:
        if each.exchange is not None and each.exchange.name:
            yield each.exchange, each.routing_key


def _is_stream(queue: Queue) -> bool:
    return (queue.queue_arguments or {}).get("x-queue-type") == "stream"


def reason(error: Exception) -> str:
    """What RabbitMQ says, without the code before it."""
    text = str(getattr(error, "reply_text", None) or error)
    return text.partition(" - ")[2] or text
