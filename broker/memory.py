"""kombu's broker in memory, for a process in which eventlet has patched everything: whoever waits is told.

kombu's own sleeps between two looks into its queues. Looking every 5 ms took 3.4 % of an idle core.
"""

import time
from queue import Empty
from typing import Any, ClassVar

import eventlet
from eventlet.event import Event
from kombu import transport
from kombu.transport import memory


class Channel(memory.Channel):
    """Tells those who wait for it that there may be something to read."""

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        super()._put(queue, message, **options)
        for each in Transport.waiting:
            if queue in each._callbacks:
                each.look_again()

    def basic_consume(self, *args: Any, **options: Any) -> None:
        super().basic_consume(*args, **options)
        self.connection.look_again()

    def basic_ack(self, *args: Any, **options: Any) -> None:
        """There may be room for one more message that is not acknowledged."""
        super().basic_ack(*args, **options)
        self.connection.look_again()

    def basic_reject(self, *args: Any, **options: Any) -> None:
        super().basic_reject(*args, **options)
        self.connection.look_again()


class Transport(memory.Transport):
    """A connection to the broker: one greenlet at a time reads from it."""

    Channel = Channel
    waiting: ClassVar[set["Transport"]] = set()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._news: Event | None = None

    def look_again(self) -> None:
        if self._news is not None and not self._news.ready():
            self._news.send()

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:  # noqa: ARG002
        """Deliver one message; raises TimeoutError where none comes within `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                self.cycle.get(self._deliver, timeout=timeout)
                return
            except Empty:
                pass
            seconds = None if deadline is None else deadline - time.monotonic()
            if seconds is not None and seconds <= 0:
                raise TimeoutError
            self._wait(seconds)

    def _wait(self, seconds: float | None) -> None:
        """Until there is something to look for, or for so many seconds."""
        self._news = Event()
        self.waiting.add(self)
        try:
            with eventlet.Timeout(seconds, False):
                self._news.wait()
        finally:
            self.waiting.discard(self)
            self._news = None


def select() -> None:
    """Make `memory://` mean this broker, for every connection from now on."""
    transport.TRANSPORT_ALIASES["memory"] = f"{__name__}:Transport"
