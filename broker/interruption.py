"""What a signal does to a process that is one: its work ends where it waits, and cleans up behind itself."""

import signal
import time
from collections.abc import Callable

import eventlet
from eventlet.hubs import get_hub

from broker.first_signals import heeded

# make passes on a SIGTERM that the whole group has got already: what comes this soon is the same wish.
ECHO_SECONDS = 0.5


class Interrupted(BaseException):
    """Raised in the work at the place where it waits."""


class Work:
    """The work of a process, in a greenlet of its own: so it is never the hub that an exception ends.

    `interrupted` is the exit code where a signal ended it. A second signal means in a hurry: it ends what the
    cleaning up waits for just then, and so does each one that follows.
    """

    def __init__(self, work: Callable[["Work"], int], interrupted: int) -> None:
        self._work = work
        self._interrupted = interrupted
        self._code: int | None = None
        self._failure: BaseException | None = None
        self._ended_at = -ECHO_SECONDS
        self._greenlet: eventlet.greenthread.GreenThread | None = None
        self.in_a_hurry = False

    def run(self) -> int:
        """The exit code: what the work returns, or what it was ended with. Raises what the work raises."""
        self._greenlet = eventlet.spawn(self._contained)
        for number in heeded():
            get_hub().loop.add_signal_handler(number, self.end, self._interrupted)
        code = self._greenlet.wait()
        for number in heeded():
            signal.signal(number, signal.SIG_IGN)  # it ends anyway, with the code that it has
        if self._failure is not None:
            raise self._failure
        return int(code)

    def _contained(self) -> int:
        """eventlet would print what comes out of a greenlet."""
        try:
            return self._work(self)
        except Interrupted:
            return self._interrupted if self._code is None else self._code
        except BaseException as failure:
            self._failure = failure
            return 1

    def end(self, code: int) -> None:
        """End it now. The first who does so says by which code; to be called from another greenlet."""
        now = time.monotonic()
        if self._greenlet is None or self._greenlet.dead or now - self._ended_at < ECHO_SECONDS:
            return
        self._ended_at = now
        self.in_a_hurry = self._code is not None
        if self._code is None:
            self._code = code
        eventlet.kill(self._greenlet, Interrupted, Interrupted(), None)
