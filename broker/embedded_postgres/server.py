"""One PostgreSQL on a cluster: a child of this process, reached by a socket that is its owner's alone."""

import hashlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sqlalchemy import URL, create_engine, pool, text

from broker.config import ConfigurationError

from . import pid_file
from .account import Account, let_in, share
from .programs import installation, spawn

START_SECONDS = 60  # a crash's journal is read through first
STOP_SECONDS = 20
CONNECT_SECONDS = 10
POLL_SECONDS = 0.01
PORT = 5432
# What a socket's path may have, by sun_path of macOS; Linux gives four more.
SOCKET_PATH_BYTES = 103
LOG_BYTES = 2**20
SUPERUSER = "postgres"


class Server:
    """A server on the cluster in `folder`, from `start` to `stop`. It holds the file `lock` open as long."""

    def __init__(self, folder: Path, account: Account, lock: int, log: Path) -> None:
        self.folder = folder
        self.account = account
        self.lock = lock
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.socket_folder: Path | None = None

    def start(self, settings: Mapping[str, str]) -> None:
        """Return once it takes connections. Raises ConfigurationError where it does not within START_SECONDS.

        Nobody else may serve the folder meanwhile: the caller has its lock.
        """
        let_in(self.account, self.folder)
        pid_file.disown(self.folder)
        self.socket_folder = _socket_folder(self.folder, self.account)
        all_settings = {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": str(self.socket_folder),
            "unix_socket_permissions": "0700",
            "logging_collector": "off",
            "log_destination": "stderr",
            "log_checkpoints": "off",
            "io_method": "sync",  # three processes and 8 MiB less, for data that are in memory anyway
            **settings,
        }
        words = [word for name, value in all_settings.items() for word in ("-c", f"{name}={value}")]
        if self._log.exists() and self._log.stat().st_size > LOG_BYTES:
            self._log.replace(self._log.with_name(f"{self._log.name}.old"))
        with self._log.open("ab") as output:
            share(output.fileno(), self._log.parent)
            begin = output.tell()
            self._process = spawn(
                installation() / "bin" / "postgres",
                "-D",
                self.folder,
                *words,
                account=self.account,
                output=output,
                ends_by=signal.SIGINT,
                keeps=(self.lock,),
            )
        try:
            self._wait_until_ready(self._process, begin)
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self, process: subprocess.Popen[bytes], log_begin: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while pid_file.ready_socket_folder(self.folder) != self.socket_folder:
            if process.poll() is not None:
                raise ConfigurationError(
                    f"PostgreSQL did not start on {self.folder}: {self._last_words(log_begin)}"
                )
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"PostgreSQL did not start on {self.folder} within {START_SECONDS} s: "
                    f"{self._last_words(log_begin)}"
                )
            time.sleep(POLL_SECONDS)

    def _last_words(self, begin: int) -> str:
        """The last thing that it said since `begin`; where it was shut down, what it said before that."""
        said = self._log.read_bytes()[begin:].decode(errors="replace").splitlines()
        lines = [line for line in said if line.strip() and "database system is shut down" not in line]
        return lines[-1].strip() if lines else "it said nothing"

    def stop(self) -> None:
        """End it; its clients are cut off. Safe to repeat."""
        process, self._process = self._process, None
        if process is not None:
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_SECONDS)
                    break
        if self.socket_folder is not None:
            with suppress(OSError):
                self.socket_folder.rmdir()

    def url(self, database: str) -> str:
        return url(self.socket_folder, database)

    def ensure_database(self, name: str) -> str:
        return ensure_database(self.socket_folder, name)


def url(socket_folder: Path | None, database: str) -> str:
    """SQLAlchemy's URL of a database of the server that listens in that folder."""
    if socket_folder is None:
        raise RuntimeError("the embedded PostgreSQL is not running")
    query = {"host": str(socket_folder), "port": str(PORT), "connect_timeout": str(CONNECT_SECONDS)}
    made = URL.create("postgresql+psycopg2", username=SUPERUSER, database=database, query=query)
    return made.render_as_string(hide_password=False)


def databases(socket_folder: Path | None) -> list[str]:
    """The names of a server's databases, but for its templates."""
    engine = create_engine(url(socket_folder, "postgres"), poolclass=pool.NullPool)
    with engine.connect() as connection:
        names = connection.scalars(text("SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1"))
        return list(names)


def ensure_database(socket_folder: Path | None, name: str) -> str:
    """Make the database where there is none yet; answers its URL."""
    if name not in databases(socket_folder):
        engine = create_engine(
            url(socket_folder, "postgres"), poolclass=pool.NullPool, isolation_level="AUTOCOMMIT"
        )
        quoted = name.replace('"', '""')
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{quoted}"'))
    return url(socket_folder, name)


def _socket_folder(cluster: Path, account: Account) -> Path:
    """A folder with a short path for the socket, which nobody but the account (and root) gets into.

    Its name is made from the cluster's own, so that a server that was killed leaves one folder, not one each.
    """
    status = cluster.stat()
    name = "postgres-" + hashlib.sha256(f"{status.st_dev} {status.st_ino}".encode()).hexdigest()[:16]
    parent = _short_parent(account, name)
    folder = parent / name
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        account.give(folder)
    if not folder.is_symlink() and folder.is_dir() and account.owns(folder):
        account.give(folder)
        for left in folder.glob(".s.PGSQL.*"):  # the lock file among them would be judged by its pid
            left.unlink()
        return folder
    # Somebody else has put something there.
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=parent))
    account.give(folder)
    return folder


def _short_parent(account: Account, name: str) -> Path:
    socket_path = f"/{name}/.s.PGSQL.{PORT}"
    for parent in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):  # noqa: S108
        # A comma would be two folders to PostgreSQL and two hosts to its clients.
        plain = str(parent).isascii() and not set(str(parent)) & set(',"')
        short = len(f"{parent}{socket_path}") <= SOCKET_PATH_BYTES
        if plain and short and parent.is_dir() and account.may_pass(parent):
            return parent
    raise ConfigurationError(
        "PostgreSQL has no place for its socket: TMPDIR must name a folder with a short path"
    )
