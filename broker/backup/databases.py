"""Where the two databases are, real or embedded, and connections to them whose waits have an end."""

import fcntl
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from psycopg2.extensions import connection as Driver
from sqlalchemy import Connection, create_engine, event, exc, pool

from broker.backup.manifest import DatabaseName
from broker.backup.tables import SPEAK_ALIKE
from broker.config import ConfigurationError, Settings

SETTINGS: dict[DatabaseName, str] = {"auth": "AUTH_DATABASE_URL", "movies": "MOVIES_DATABASE_URL"}
EMBEDDED_CONNECTIONS = 10
CONNECT_SECONDS = 10
# A statement may take as long as it takes, but not wait for others that long. Nobody else's setting for our
# role is to end it.
_BOUNDS = {
    "lock_timeout": "10s",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
# So often the server looks whether we are still there; not every system that it may run on can.
_LOOKS = "SET client_connection_check_interval = '5s'"

Urls = dict[DatabaseName, str]


def application_name() -> str:
    """What our sessions are called in pg_stat_activity."""
    return f"backup or restore, process {os.getpid()}"


@contextmanager
def opened(settings: Settings, *, alone: bool) -> Iterator[Urls]:
    """SQLAlchemy's URLs of both. An embedded server that does not run is started for as long as this lasts.

    `alone`: no platform may run on the embedded one, none is let start on it meanwhile, and where there is no
    data folder yet it is made. Raises ConfigurationError.
    """
    urls: Urls = {name: str(getattr(settings, setting)) for name, setting in SETTINGS.items()}
    missing = [name for name, url in urls.items() if not url]
    with ExitStack() as stack:
        if missing:
            if len(missing) == len(urls):
                # libpq's own variables are meant for servers of the user's.
                for name in [name for name in os.environ if name.startswith("PG")]:
                    del os.environ[name]
            from broker.embedded_postgres import EmbeddedPostgres

            data = Path(settings.DATA_FOLDER)
            if alone:
                data.mkdir(parents=True, exist_ok=True)
            is_alone = not data.exists() or stack.enter_context(_kept_from_others(data))
            if alone and not is_alone:
                raise ConfigurationError(f"DATA_FOLDER {data}: a platform is running on it; stop it first")
            server = stack.enter_context(
                EmbeddedPostgres(data, owner=alone, connections=EMBEDDED_CONNECTIONS)
            )
            for database in missing:
                urls[database] = server.ensure_database(database) if alone else server.url(database)
        yield urls


@contextmanager
def _kept_from_others(data: Path) -> Iterator[bool]:
    """Whether no platform runs on the folder; none starts on it until the end of the `with` then."""
    from broker.embedded_postgres import account

    with (data / "lock").open("a") as lock:
        account.share(lock.fileno(), data)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


class Sessions:
    """Opens connections, and cuts all of them off where another thread says so."""

    def __init__(self) -> None:
        self._open: dict[int, Driver] = {}
        self._is_cut = False
        self._lock = threading.Lock()

    @contextmanager
    def connection(self, url: str) -> Iterator[Connection]:
        """One in autocommit."""
        engine = create_engine(
            url,
            poolclass=pool.NullPool,
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                "client_encoding": "utf8",
                "application_name": application_name(),
            },
        )
        event.listen(engine, "connect", self._remember)
        event.listen(engine, "close", self._forget)
        with engine.connect() as connection:
            for name, value in {**SPEAK_ALIKE, **_BOUNDS}.items():
                connection.exec_driver_sql(f"SET {name} = '{value}'")
            with suppress(exc.DBAPIError):
                connection.exec_driver_sql(_LOOKS)
            yield connection

    @contextmanager
    def transaction(self, url: str) -> Iterator[Connection]:
        """One with a transaction open, which is rolled back at the end unless it was committed."""
        with self.connection(url) as connection:
            connection.commit()  # what SQLAlchemy takes for one; it was in autocommit
            yield connection.execution_options(isolation_level="READ COMMITTED")
            connection.rollback()

    def cut(self) -> None:
        """End all that is being waited for; what was not committed is undone by the server."""
        with self._lock:
            self._is_cut = True
            for driver in self._open.values():
                with suppress(OSError), socket.socket(fileno=os.dup(driver.fileno())) as ours:
                    ours.shutdown(socket.SHUT_RDWR)

    def _remember(self, driver: Driver, _record: object) -> None:
        with self._lock:
            self._open[id(driver)] = driver
            if self._is_cut:
                driver.close()

    def _forget(self, driver: Driver, _record: object) -> None:
        with self._lock:
            self._open.pop(id(driver), None)
