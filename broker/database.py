"""The database of a service: what Nameko injects, and what a failure of it means to a caller.

A server that is there and answers nothing (frozen, or its machine gone) is noticed on our side alone, by
`waits_end_after`; that works where eventlet has patched the process, as it has in every service.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import psycopg2
from eventlet import hubs, patcher
from nameko.extensions import DependencyProvider
from psycopg2 import extensions
from sqlalchemy import Connection, Engine, create_engine, event, exc, text
from sqlalchemy.orm import Session

from broker import config
from broker.errors import ServiceUnavailable

# Below the RPC deadline, so that the caller learns of it from us.
TRANSACTION_SECONDS = 4.5
STATUS_SECONDS = 2.0
POOL_WAIT_SECONDS = 3
CONNECT_SECONDS = 3
STATEMENT_MILLISECONDS = 4000
# A service that is frozen in the middle of a transaction keeps what it has locked no longer than this.
IDLE_IN_TRANSACTION_MILLISECONDS = 5000
# The half-open connections of a server that vanished are noticed while they are idle.
KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}

# What a query needs: either of the ways into a database.
Reader = Session | Connection

_deadline: ContextVar[float | None] = ContextVar("deadline of database waits", default=None)
_select: Any = patcher.original("select")  # the patched one has no poll()


def engine(url: str, pool_size: int) -> Engine:
    """An engine whose every wait is bounded. `url` is SQLAlchemy's, `pool_size` in connections."""
    heed_deadlines()
    bounded = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        hide_parameters=True,  # an error that is logged would tell addresses and hashes
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "options": f"-c statement_timeout={STATEMENT_MILLISECONDS} -c timezone=UTC"
            f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_MILLISECONDS}",
            **KEEPALIVES,
        },
    )
    event.listen(bounded, "checkout", _refuse_what_the_server_closed)
    return bounded


def _refuse_what_the_server_closed(connection: Any, record: Any, _fairy: object) -> None:
    """Makes the pool put a new connection in the place of one that a restart of the server has ended.

    Nothing comes in on an idle connection but its end. Asking the server, as `pool_pre_ping` does, was a
    fifth of a small transaction's time (1,968 a second of them, against 2,466 with neither and 2,144 with
    this), and a frozen server would have kept the question waiting.
    """
    if "used" not in record.info:  # a new one is in this place already
        record.info["used"] = True
        return
    watch = _select.poll()
    watch.register(connection.fileno(), _select.POLLIN)
    if watch.poll(0):
        raise exc.DisconnectionError


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
        overdue = psycopg2.OperationalError("the database did not answer in time")
        if left is not None and left <= 0:
            raise overdue
        hubs.trampoline(
            connection.fileno(),
            read=state == extensions.POLL_READ,
            write=state == extensions.POLL_WRITE,
            timeout=left,
            timeout_exc=overdue,
        )


class Transaction:
    """The ways into a database.

    `with transaction() as session:` commits at the end of the block, or rolls back where it raises.
    `with transaction.reading() as reader:` is for queries alone: each sees what is committed when it begins,
    as in any transaction of ours, and the two round trips that begin and end one are spared.

    A database that cannot be reached, is too busy, or keeps a block waiting for more than `seconds` in all is
    ServiceUnavailable.
    """

    def __init__(self, bind: Engine, seconds: float = TRANSACTION_SECONDS) -> None:
        self._bind = bind
        self._seconds = seconds

    @contextmanager
    def __call__(self) -> Iterator[Session]:
        with (
            self._bounded(),
            Session(self._bind, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with self._bounded(), self._bind.connect() as reader:
            # The driver's own switch. SQLAlchemy's option for it took a tenth of a small query's time.
            driver: Any = reader.connection.driver_connection
            driver.autocommit = True
            try:
                yield reader
            finally:
                if not driver.closed:
                    driver.autocommit = False

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        try:
            with waits_end_after(self._seconds):
                yield
        except exc.TimeoutError as error:
            raise ServiceUnavailable from error
        except exc.DBAPIError as error:
            if error.connection_invalidated or isinstance(error, exc.OperationalError | exc.InterfaceError):
                raise ServiceUnavailable from error
            raise


def status(transaction: Transaction) -> dict[str, str]:
    """Whether the database answers: `{"status", "database"}` and `error` where it does not."""
    try:
        with waits_end_after(STATUS_SECONDS), transaction.reading() as reader:
            reader.execute(text("SELECT 1"))
    except ServiceUnavailable:
        return {"status": "ERROR", "database": "Not connected", "error": "The database cannot be reached"}
    return {"status": "OK", "database": "Connected"}


class Database(DependencyProvider):
    """Injects the Transaction of the database that the setting `url_setting` names."""

    def __init__(self, url_setting: str) -> None:
        self.url_setting = url_setting
        self.engine: Engine | None = None
        self.transaction: Transaction | None = None

    def bind(self, container: Any, attr_name: str) -> "Database":
        config.check_service(container, self.url_setting)
        return super().bind(container, attr_name)

    def setup(self) -> None:
        settings = config.settings(self.container.config)
        self.engine = engine(getattr(settings, self.url_setting), settings.DATABASE_POOL_SIZE)
        self.transaction = Transaction(self.engine)

    def stop(self) -> None:
        if self.engine is not None:
            self.engine.dispose()

    def get_dependency(self, worker_ctx: Any) -> Transaction | None:  # noqa: ARG002
        return self.transaction
