"""The waits for a database, and their end.

A server that is there and answers nothing (frozen, or its machine gone) is noticed on our side alone; that
works where eventlet has patched the process, as it has in every service.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import psycopg2
from eventlet import hubs, patcher
from psycopg2 import extensions

_deadline: ContextVar[float | None] = ContextVar("deadline of database waits", default=None)


class Overdue(psycopg2.OperationalError):
    """The database kept us waiting."""

    def __init__(self) -> None:
        super().__init__("the database did not answer in time")


def heed_deadlines() -> None:
    """Let `waits_end_after` end the waits of psycopg2, where eventlet has made that green; safe to repeat."""
    if patcher.is_monkey_patched("psycopg"):
        extensions.set_wait_callback(_wait)


@contextmanager
def waits_end_after(seconds: float) -> Iterator[None]:
    """Until the block's end, all waits for a database together last `seconds` at most, if not less by an
    outer block: the wait that would last longer raises OperationalError, and its connection is closed.
    """
    outer, ours = _deadline.get(), time.monotonic() + seconds
    token = _deadline.set(ours if outer is None else min(outer, ours))
    try:
        yield
    finally:
        _deadline.reset(token)


def _wait(connection: extensions.connection) -> None:
    """What psycopg2 calls instead of blocking: the others run until the server has answered.

    Without a deadline around it (a migration in a patched process) it waits for as long as it takes.
    """
    while (state := connection.poll()) != extensions.POLL_OK:
        if state not in (extensions.POLL_READ, extensions.POLL_WRITE):
            raise psycopg2.OperationalError(f"psycopg2 answers {state} where it should say what to wait for")
        deadline = _deadline.get()
        left = None if deadline is None else deadline - time.monotonic()
        # psycopg2 closes the connection of a wait that fails. What it had asked may be done all the same.
        if left is not None and left <= 0:
            raise Overdue
        hubs.trampoline(
            connection.fileno(),
            read=state == extensions.POLL_READ,
            write=state == extensions.POLL_WRITE,
            timeout=left,
            timeout_exc=Overdue,
        )
