"""Runs work on databases on a thread of its own, so that it can be ended: libpq sleeps through signals.

The thread that runs this waits for a signal, and asks whether the databases still answer where nothing has
happened for a while.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

import psycopg2
from sqlalchemy.engine import make_url

from broker.backup.databases import CONNECT_SECONDS, Sessions, Urls
from broker.backup.failures import BackupFailed
from broker.first_signals import heeded

SILENT_SECONDS = 30.0  # without progress, after which the databases are asked
LOOK_SECONDS = 0.5
SAY_SECONDS = 5.0

Result = TypeVar("Result")


class Interrupted(BaseException):
    """A signal asks for the end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


class Progress:
    """What is going on, on stderr: each step, and how far a long one is."""

    def __init__(self) -> None:
        self.moved_at = time.monotonic()
        self._ending: BaseException | None = None
        self._is_final = False
        self._lock = threading.Lock()
        self._bytes = 0
        self._said_at = self.moved_at

    def say(self, line: str) -> None:
        self.moved_at = self._said_at = time.monotonic()
        print(line, file=sys.stderr, flush=True)

    def __call__(self, count: int) -> None:
        """So many bytes more. Raises what ends this, if it is to end."""
        if self._ending is not None:
            raise self._ending
        self._bytes += count
        self.moved_at = time.monotonic()
        if self.moved_at - self._said_at > SAY_SECONDS:
            self.say(f"  ... {megabytes(self._bytes)}")

    def be_final(self) -> None:
        """From here on it goes to its end, in a moment. Raises what ends this, if it is to end."""
        with self._lock:
            if self._ending is not None:
                raise self._ending
            self._is_final = True

    def end(self, why: BaseException) -> bool:
        """Whether it is still to end, by an error of the next step."""
        with self._lock:
            self._ending = why
            return not self._is_final


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


@contextmanager
def signals_raise() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise Interrupted in this thread, once: a second one is for the system."""

    def end(number: int, _frame: FrameType | None) -> None:
        for each in heeded():
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    before = {number: signal.signal(number, end) for number in heeded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(work: Callable[[], Result], sessions: Sessions, urls: Urls, progress: Progress) -> Result:
    """The result of `work`, which uses `sessions` alone and calls `progress`; its error is raised here.

    Raises Interrupted at a signal, and BackupFailed where a database says nothing any more, once `work` has
    undone what it had begun.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        working = thread.submit(work)
        try:
            while not wait([working], LOOK_SECONDS).done:
                if time.monotonic() - progress.moved_at > SILENT_SECONDS:
                    _ask(urls)
                    progress.moved_at = time.monotonic()
        except BaseException as ending:
            if progress.end(ending):
                sessions.cut()
                raise
        return working.result()


def _ask(urls: Urls) -> None:
    for name, url in urls.items():
        plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        try:
            psycopg2.connect(plain, connect_timeout=CONNECT_SECONDS).close()
        except psycopg2.OperationalError as error:
            reason = " ".join(str(error).split())
            raise BackupFailed(f"the database of {name} does not answer any more ({reason})") from error
