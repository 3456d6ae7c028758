"""One PostgreSQL on a cluster: a child of this process, reached by a socket that is its owner's alone."""

import hashlib
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
from sqlalchemy import URL, create_engine, exc, pool, text

from broker.config import ConfigurationError

from . import pid_file, processes
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
STOPS = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
# What it says where one of its processes died, and it begins anew by itself.
DIED = re.compile(r"LOG:\s+(.*) \(PID \d+\) (was terminated by .*|exited with exit code .*)")
BEGINS_ANEW = "all server processes terminated; reinitializing"


class Server:
    """A server on the cluster in `folder`, from `start` to `stop`. It holds the file `lock` open as long."""

    def __init__(self, folder: Path, account: Account, lock: int, log: Path) -> None:
        self.folder = folder
        self.account = account
        self.lock = lock
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._said_since = self._read_to = 0  # places in the log: of this start, and of `crashes`
        self._died = ""  # the last of its processes that did
        self.socket_folder: Path | None = None

    def start(self, settings: Mapping[str, str]) -> None:
        """Return once it takes connections. Raises ConfigurationError where it does not within START_SECONDS.

        Nobody else may serve the folder meanwhile: the caller has its lock.
        """
        let_in(self.account, self.folder)
        pid_file.disown(self.folder, self.account)
        self.socket_folder = self._socket_folder()
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
            self._said_since = self._read_to = output.tell()
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
            self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while pid_file.ready_socket_folder(self.folder) != self.socket_folder:
            if process.poll() is not None:
                raise ConfigurationError(f"PostgreSQL did not start on {self.folder}: {self._last_words()}")
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"PostgreSQL did not start on {self.folder} within {START_SECONDS} s: "
                    f"{self._last_words()}"
                )
            time.sleep(POLL_SECONDS)

    def _last_words(self) -> str:
        """What it ends for, as it says since its start, or the last thing that it said at all."""
        said = self._read_log(self._said_since).splitlines()
        lines = [line for line in said if line.strip() and "database system is shut down" not in line]
        fatal = [line for line in lines if "FATAL:" in line or "PANIC:" in line]
        return (fatal or lines or ["it said nothing"])[-1].strip()

    def _read_log(self, since: int) -> str:
        """What is there from `since` on, of much the end."""
        try:
            with self._log.open("rb") as log:
                log.seek(max(since, log.seek(0, os.SEEK_END) - LOG_BYTES))
                return log.read().decode(errors="replace")
        except OSError:
            return ""

    def start_again(self, settings: Mapping[str, str]) -> None:
        """`start` on what is left of it, at the same address; what is left of its processes ends first."""
        self.stop()
        for left in processes.of(self.folder):
            with suppress(psutil.NoSuchProcess):
                left.send_signal(signal.SIGQUIT)
        self.start(settings)

    def trouble(self) -> str | None:
        """Why nobody can connect any more; None where it lives."""
        if self._process is None or self.socket_folder is None:
            return "it did not start"
        code = self._process.poll()
        if code is not None:
            by_signal = f"it ended by {signal.Signals(-code).name}" if code < 0 else ""
            return by_signal or f"it ended with code {code}: {self._last_words()}"
        if not (self.socket_folder / f".s.PGSQL.{PORT}").exists():
            return f"its socket in {self.socket_folder} was removed"
        return None

    def crashes(self) -> list[str]:
        """After which process's death it began anew by itself, each time since the last call."""
        try:
            size = self._log.stat().st_size
        except OSError:
            return []
        if size <= self._read_to:
            return []
        found = []
        said = self._read_log(self._read_to)
        for line in said[: said.rfind("\n") + 1].splitlines():
            if death := DIED.search(line):
                self._died = " ".join(death.groups())
            elif BEGINS_ANEW in line:
                found.append(self._died or "one of its processes died")
        self._read_to = size - len(said[said.rfind("\n") + 1 :].encode())
        return found

    def stop(self) -> bool:
        """End it; its clients are cut off. Whether nothing is left to be recovered by the next start.

        Safe to repeat, and who is interrupted in it is in a hurry.
        """
        process, self._process = self._process, None
        interruption: BaseException | None = None
        for number in STOPS:
            if process is None:
                break
            try:
                _end(process, number)
                break
            except subprocess.TimeoutExpired:
                continue
            except BaseException as error:  # goes on when the server is gone
                interruption = error
        if self.socket_folder is not None:
            with suppress(OSError):
                self.socket_folder.rmdir()
        if interruption is not None:
            raise interruption
        return process is None or process.returncode == 0

    def url(self, database: str) -> str:
        return url(self.socket_folder, database)

    def ensure_database(self, name: str) -> str:
        return ensure_database(self.socket_folder, name)

    def _socket_folder(self) -> Path:
        """Where its clients look for it, if it had one before."""
        if self.socket_folder is None:
            return _socket_folder(self.folder, self.account)
        with suppress(FileExistsError):
            self.socket_folder.mkdir(mode=0o700)
            self.account.give(self.socket_folder)
        if not _take(self.socket_folder, self.account):
            raise ConfigurationError(f"{self.socket_folder}: somebody else has put something there")
        return self.socket_folder


def _end(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Raises TimeoutExpired. One that stands still ends, too."""
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    process.wait(STOP_SECONDS)


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
    """Make the database where there is none yet; answers its URL. Raises ConfigurationError."""
    engine = create_engine(
        url(socket_folder, "postgres"), poolclass=pool.NullPool, isolation_level="AUTOCOMMIT"
    )
    quoted = name.replace('"', '""')
    try:
        if name not in databases(socket_folder):
            with engine.connect() as connection:
                connection.execute(text(f'CREATE DATABASE "{quoted}"'))
    except exc.OperationalError as error:
        said = " ".join(str(error.orig).split())
        raise ConfigurationError(f"PostgreSQL: the database {name} cannot be made ({said})") from error
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
    if _take(folder, account):
        return folder
    # Somebody else has put something there.
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=parent))
    account.give(folder)
    return folder


def _take(folder: Path, account: Account) -> bool:
    """Make it ready for a new socket; False where it is not this account's own folder."""
    if folder.is_symlink() or not folder.is_dir() or not account.owns(folder):
        return False
    account.give(folder)
    for left in folder.glob(".s.PGSQL.*"):  # the lock file among them would be judged by its pid
        left.unlink()
    return True


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
