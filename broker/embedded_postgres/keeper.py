"""Keeps the embedded PostgreSQL of a data folder: makes its cluster, starts it or joins it, stops it.

Whoever has the lock on `postgres-18.lock` decides over the cluster. A server and all its processes hold that
file open, so the lock is free exactly when none of them is left, whoever was killed, and no pid is asked. In
a copy of the data folder it is another file, and free.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

from broker.config import ConfigurationError
from broker.disk import sync_folder

from . import account, cluster_folder, pid_file, predecessor, processes, programs, server
from .server import Server
from .supervisor import Supervisor

CLUSTER = f"postgres-{programs.MAJOR}"
# Beside its clients' connections: a backup, an operator or two, what PostgreSQL keeps for itself, and those
# whose client has given up (a full disk, say) and that have not noticed yet.
SPARE_CONNECTIONS = 20
LEAVING_SECONDS = 5  # a server that ends with the process that started it, or a set-role, is gone by then
JOINING_SECONDS = 60
POLL_SECONDS = 0.05


class EmbeddedPostgres:
    """A server on the data in `data`, from `with` until its end, for that many connections of clients.

    One that runs already is joined where `owner` is False, and left running at the end. An owner, of whom
    there is one at a time, ends it (it was left behind by one that was killed) and starts its own. Raises
    ConfigurationError where there can be none.
    """

    def __init__(self, data: Path, *, owner: bool, connections: int) -> None:
        self.data = data.resolve()
        self.cluster = self.data / CLUSTER
        self._unfinished = self.data / f"{CLUSTER}.unfinished"
        self._old = self.data / predecessor.FOLDER
        self._owner = owner
        self._settings = {"max_connections": str(connections + SPARE_CONNECTIONS)}
        self._lock: int | None = None
        self._server: Server | None = None
        self._socket_folder: Path | None = None

    def __enter__(self) -> "EmbeddedPostgres":
        if not self._owner and not self.data.exists():
            raise self._nothing_is_there()
        try:
            self._lock = os.open(self.data / f"{CLUSTER}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            account.share(self._lock, self.data)
            if self._owner:
                self._take_over()
            elif not self._joins():
                return self
            self._start()
        except OSError as error:
            self._close()
            raise ConfigurationError(f"PostgreSQL did not start on {self.cluster}: {error}") from error
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def supervise(self) -> None:
        """Start the server of ours again where it dies, until interrupted. Raises Lost if that is in vain."""
        if self._server is None:
            raise RuntimeError("the embedded PostgreSQL is not ours")
        Supervisor(self._server, self._settings).run()

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of a database of this server."""
        return server.url(self._socket_folder, database)

    def ensure_database(self, name: str) -> str:
        """Make the database where there is none yet; answers its URL."""
        return server.ensure_database(self._socket_folder, name)

    def _close(self) -> None:
        if self._server is not None:
            self._server.stop()
        if self._lock is not None:
            os.close(self._lock)
        self._server = self._lock = self._socket_folder = None

    @property
    def _held_lock(self) -> int:
        """The descriptor of the lock's file, between `__enter__` and `__exit__`."""
        if self._lock is None:
            raise RuntimeError("the embedded PostgreSQL is not entered")
        return self._lock

    def _locked(self) -> bool:
        """Whether we have the lock (now)."""
        try:
            fcntl.flock(self._held_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _locks_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self._locked():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _take_over(self) -> None:
        """Get the lock, ending the server that holds it if it does not end by itself."""
        if self._locks_within(LEAVING_SECONDS):
            return
        clusters = (self.cluster, self._unfinished, self._old)
        postmasters = [left for left in map(pid_file.postmaster, clusters) if left is not None]
        _send(signal.SIGINT, postmasters)
        if postmasters and self._locks_within(server.STOP_SECONDS):
            return
        for number in (signal.SIGQUIT, signal.SIGKILL):
            # Of a postmaster that was killed, too.
            _send(number, [left for cluster in clusters for left in processes.of(cluster)])
            if self._locks_within(server.STOP_SECONDS):
                return
        raise ConfigurationError(
            f"{self.cluster}: processes of an earlier PostgreSQL are still at work; try again later"
        )

    def _joins(self) -> bool:
        """False once a server that is not ours was joined, True when none is there and we have the lock."""
        deadline = time.monotonic() + JOINING_SECONDS
        while not self._locked():
            self._socket_folder = pid_file.ready_socket_folder(self.cluster)
            if self._socket_folder is not None:
                return False
            if time.monotonic() > deadline:
                raise ConfigurationError(f"{self.cluster}: PostgreSQL is still starting there; try again")
            time.sleep(POLL_SECONDS)
        return True

    def _start(self) -> None:
        """Under the lock: no process of ours is on the cluster."""
        by_hand = pid_file.postmaster(self.cluster)
        if by_hand is not None:
            raise ConfigurationError(
                f"{self.cluster}: a PostgreSQL that the platform did not start serves it "
                f"(process {by_hand.pid}); stop that first"
            )
        if self.cluster.exists():
            account.of(self.cluster)
        if cluster_folder.is_missing(self.cluster):
            if not self._owner:
                raise self._nothing_is_there()
            self._make_cluster()
        cluster_folder.check(self.cluster)
        predecessor.warn_of_late_writes(self._old, self.cluster)
        self._server = self._server_on(self.cluster)
        self._server.start(self._settings)
        self._socket_folder = self._server.socket_folder

    def _nothing_is_there(self) -> ConfigurationError:
        return ConfigurationError(f"{self.data}: no data are there yet; start the platform once (make run)")

    def _server_on(self, cluster: Path) -> Server:
        owner = account.of(cluster)
        programs.let_run(owner)
        return Server(cluster, owner, self._held_lock, self.data / "postgres.log")

    def _make_cluster(self) -> None:
        """The cluster is there whole, with what it inherits, or not at all: its folder gets its name last."""
        inherits = predecessor.has_data(self._old)
        cluster_folder.remove_unfinished(self._unfinished, is_copy=inherits)
        try:
            self._make_empty_cluster(account.for_new_data(self.data))
            if inherits:
                predecessor.carry_over(self._server_on(self._old), self._server_on(self._unfinished))
        except BaseException:
            shutil.rmtree(self._unfinished, ignore_errors=True)
            raise
        self._unfinished.rename(self.cluster)
        sync_folder(self.data)
        if inherits:
            predecessor.say_done(self._old, self.cluster)

    def _make_empty_cluster(self, owner: account.Account) -> None:
        self._unfinished.mkdir(mode=0o700)
        owner.give(self._unfinished)
        account.let_in(owner, self._unfinished)
        programs.let_run(owner)
        try:
            programs.initdb(self._unfinished, owner, self._held_lock)
        except subprocess.SubprocessError as error:
            lines = [line for line in (getattr(error, "stderr", None) or "").splitlines() if line.strip()]
            said = [line for line in lines if "error:" in line or "FATAL:" in line] or lines
            raise ConfigurationError(
                f"PostgreSQL could not make its files in {self._unfinished}: {said[0] if said else error}"
            ) from error


def _send(number: signal.Signals, processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
