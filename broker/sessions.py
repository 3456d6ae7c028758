"""The sessions of a database: what ours are set to, and that each is ours alone.

They are set by SET, once they are there: the startup parameter for that (`options`) PgBouncer refuses.

A pooler may stand in between, such as PgBouncer, as long as it gives a connection a session for its whole
life. One that gives the session to others between two transactions ("transaction pooling") would hand them
our settings, and keep the relay's lock for whoever comes next; so it is refused, with a line that says so.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg2
from psycopg2 import extensions
from sqlalchemy import Engine, event

from broker.clock import FollowedClock, steady
from broker.outages import SharedSession
from broker.waits import Overdue, waits_end_after

CHECKED_FOR_SECONDS = 60.0
TIME = "SELECT extract(epoch FROM clock_timestamp())::float8"
ROUNDS = 3  # others may use the pool meanwhile, and get in between
SPARE_SECONDS = 1.0  # for the pooler to find a session for that


def own_sessions(engine: Engine, clock: FollowedClock | None = None, **settings: object) -> None:
    """Have every connection of an engine set to `settings` (PostgreSQL's, and the time zone to UTC) when it
    is made, and the server's time told to `clock`; SharedSession where its session is not its own.
    """
    statements = [f"SET {name} = '{value}'" for name, value in {**settings, "timezone": "UTC"}.items()]
    set_up = "; ".join([*statements, TIME])
    sound_until = 0.0

    def connect(dialect: Any, _record: object, words: Any, options: Any) -> extensions.connection:
        nonlocal sound_until
        open_one = partial(dialect.connect, *words, **options)
        connection: extensions.connection = open_one()
        try:
            connection.autocommit = True
            if is_pooled(connection) and time.monotonic() > sound_until:
                if _is_shared(connection, open_one):
                    raise SharedSession
                sound_until = time.monotonic() + CHECKED_FOR_SECONDS
            ask_the_time(connection, clock or FollowedClock(), set_up)
            connection.autocommit = False
        except BaseException:
            connection.close()
            raise
        return connection

    event.listen(engine, "do_connect", connect)


def ask_the_time(connection: extensions.connection, clock: FollowedClock, asking: str = TIME) -> None:
    """Have `clock` hear what the server's says. `connection` is in autocommit."""
    asked = steady()
    with connection.cursor() as cursor:
        cursor.execute(asking)
        (said,) = cursor.fetchone() or (0.0,)
    clock.hear(float(said), asked, steady())


def is_pooled(connection: extensions.connection) -> bool:
    """Whether something between us and the server has told a process id of its own making.

    `connection` is in autocommit.
    """
    return session_id(connection) != connection.get_backend_pid()


def session_id(connection: extensions.connection) -> int:
    """The server's process behind the connection, now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone() or (0,)
    return int(pid)


def _is_shared(connection: extensions.connection, open_one: Callable[[], extensions.connection]) -> bool:
    """Whether another connection's transaction gets the session of this one, which has none open.

    Where the pooler has no session to spare for that, all of them are somebody's own.
    """
    try:
        other = open_one()
    except psycopg2.OperationalError:
        return False
    try:
        for _ in range(ROUNDS):
            before = session_id(connection)
            try:
                with waits_end_after(SPARE_SECONDS):
                    theirs = session_id(other)  # and its transaction stays open
            except Overdue:
                return False
            except psycopg2.Error:
                return not _has_transactions(connection)
            if theirs == before or session_id(connection) != before:
                return True
            other.rollback()
    finally:
        other.close()
    return False


def _has_transactions(connection: extensions.connection) -> bool:
    """ "Statement pooling" has none: it ends the connection that asks for one."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("ROLLBACK")
    except psycopg2.Error:
        return False
    return True
