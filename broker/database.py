"""The database of a service: what Nameko injects, and what a failure of it means to a caller.

Every wait for it has an end (`broker/waits.py`), and every session is set and found to be ours
(`broker/sessions.py`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import psycopg2
from eventlet import patcher
from nameko.extensions import DependencyProvider
from sqlalchemy import Connection, Engine, create_engine, event, exc, text
from sqlalchemy.orm import Session

from broker import config
from broker.clock import FollowedClock
from broker.condition import Condition, Examination
from broker.errors import ServiceUnavailable
from broker.schema import Schema
from broker.sessions import ask_the_time, own_sessions
from broker.waits import heed_deadlines, waits_end_after

# Below the RPC deadline, so that the caller learns of it from us.
TRANSACTION_SECONDS = 4.5
POOL_WAIT_SECONDS = 3
CONNECT_SECONDS = 3
STATEMENT_MILLISECONDS = 4000
# A service that is frozen in the middle of a transaction keeps what it has locked no longer than this.
IDLE_IN_TRANSACTION_MILLISECONDS = 5000
# The half-open connections of a server that vanished are noticed while they are idle.
KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}

FOLLOWED_SECONDS = 10.0  # after which the server is asked again what time it is
_clocks: WeakKeyDictionary[Engine, FollowedClock] = WeakKeyDictionary()

# What a query needs: either of the ways into a database.
Reader = Session | Connection

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
        connect_args={"connect_timeout": CONNECT_SECONDS, **KEEPALIVES},
    )
    own_sessions(
        bounded,
        _clock_of(bounded),
        statement_timeout=STATEMENT_MILLISECONDS,
        idle_in_transaction_session_timeout=IDLE_IN_TRANSACTION_MILLISECONDS,
    )
    event.listen(bounded, "checkout", partial(_look_at, _clock_of(bounded)))
    return bounded


def _clock_of(bind: Engine) -> FollowedClock:
    return _clocks.setdefault(bind, FollowedClock())


def _look_at(clock: FollowedClock, connection: Any, record: Any, _fairy: object) -> None:
    """Makes the pool put a new connection in the place of one that a restart of the server has ended; and now
    and again asks the server what time it is, which a new connection has said when it was made.

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
    if not clock.is_older_than(FOLLOWED_SECONDS):
        return
    try:
        connection.autocommit = True
        ask_the_time(connection, clock)
        connection.autocommit = False
    except psycopg2.Error as error:
        raise exc.DisconnectionError from error


class Transaction:
    """The ways into a database.

    `with transaction() as session:` commits at the end of the block, or rolls back where it raises.
    `with transaction.reading() as reader:` is for queries alone: each sees what is committed when it begins,
    as in any transaction of ours, and the two round trips that begin and end one are spared.

    A database that cannot be reached, takes no writes, is too busy, is not migrated, or keeps a block waiting
    for more than `seconds` in all is ServiceUnavailable, and `condition` is told why.
    """

    def __init__(
        self, bind: Engine, seconds: float = TRANSACTION_SECONDS, condition: Condition | None = None
    ) -> None:
        self._bind = bind
        self._seconds = seconds
        self.condition = condition or Condition(bind)
        self._clock = _clock_of(bind)

    def now(self) -> datetime:
        """What time it is, in UTC, by the database's clock: known here already, but for a first time.

        Raises ServiceUnavailable.
        """
        if not self._clock.is_known:
            with self.reading() as reader:
                reader.execute(text("SELECT 1"))
        return self._clock.now()

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
        self.condition.admit()
        try:
            with waits_end_after(self._seconds):
                yield
        except (exc.TimeoutError, exc.DBAPIError) as error:
            if self.condition.failed(error):
                raise ServiceUnavailable from error
            raise


def status(transaction: Transaction) -> dict[str, str]:
    """Whether the database serves: `{"status", "database"}` and `error` where it does not.

    As of some moments ago: however often it is asked, the database is asked seldom.
    """
    if (trouble := transaction.condition.look()) is not None:
        return {"status": "ERROR", "database": "Not connected", "error": trouble.sentence}
    return {"status": "OK", "database": "Connected"}


class Database(DependencyProvider):
    """Injects the Transaction of the database that the setting `url_setting` names.

    Where it serves alone with some `schema`, it waits for that, and says so. `examinations`: what else in it
    has to be so for the service to be ready.
    """

    def __init__(
        self, url_setting: str, schema: Schema | None = None, examinations: Sequence[Examination] = ()
    ) -> None:
        self.url_setting = url_setting
        self.schema = schema
        self.examinations = examinations
        self.engine: Engine | None = None
        self.transaction: Transaction | None = None

    def bind(self, container: Any, attr_name: str) -> "Database":
        config.check_service(container, self.url_setting)
        return super().bind(container, attr_name)

    def setup(self) -> None:
        settings = config.settings(self.container.config)
        url = getattr(settings, self.url_setting)
        self.engine = engine(url, settings.DATABASE_POOL_SIZE)
        # Looked at over a connection of its own: that the others are busy is no trouble of the database's.
        self.condition = Condition(
            engine(url, 1), self.container.service_name, self.schema, self.examinations
        )
        self.condition.when_renewed(self.engine.dispose)
        self.transaction = Transaction(self.engine, condition=self.condition)

    def start(self) -> None:
        self.container.spawn_managed_thread(self.condition.watch, identifier="condition of the database")

    def stop(self) -> None:
        if self.engine is not None:
            self.engine.dispose()

    def get_dependency(self, worker_ctx: Any) -> Transaction:  # noqa: ARG002
        if self.transaction is None:
            raise RuntimeError("the database is not set up")
        return self.transaction
