"""The broker's answers on a channel whose connection another greenlet reads."""

from collections.abc import Callable
from typing import Any

from amqp import spec
from amqp.exceptions import ChannelError, error_for_code
from eventlet import Timeout
from eventlet.event import Event

ANSWER_SECONDS = 3.0


class Unanswered(Exception):
    """The broker has not answered within ANSWER_SECONDS. What it answers later is not heard."""


class ReadElsewhere:
    """Puts itself between a py-amqp channel and its waiting, which would read from the socket.

    Whoever says something on the channel then waits for whoever reads to hear the answer, and an error with
    which the broker closes the channel is raised there instead of in the one who reads. `open()` opens it
    again. For one greenlet at a time.
    """

    def __init__(self, channel: Any, flush: Callable[[], object]) -> None:
        """`flush` has somebody write what was said."""
        self._channel = channel
        self._flush = flush
        self._answer: Event | None = None
        channel.wait = self._wait
        channel._callbacks[spec.Channel.Close] = self._closed

    def _wait(
        self,
        method: Any,
        callback: Any = None,  # noqa: ARG002
        timeout: Any = None,  # noqa: ARG002
        returns_tuple: bool = False,
    ) -> Any:
        self._answer = answer = Event()
        self._channel._pending[method] = lambda _method, *args: answer.send(args)
        self._flush()
        try:
            with Timeout(ANSWER_SECONDS, Unanswered):
                args = answer.wait()
        finally:
            self._answer = None
            self._channel._pending.pop(method, None)
        return args if returns_tuple else (args[0] if args else None)

    def _closed(self, code: int, text: str, class_id: int, method_id: int) -> None:
        self._channel.send_method(spec.Channel.CloseOk)
        self._channel.is_open = False
        self._flush()
        if self._answer is not None and not self._answer.ready():
            self._answer.send_exception(error_for_code(code, text, (class_id, method_id), ChannelError))
