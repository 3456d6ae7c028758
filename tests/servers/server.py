"""What the private servers have in common: a port, a folder, a start that waits, an end that is sure."""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import ClassVar, Self

from .process import Account, Child, ServerFailed

HOST = "127.0.0.1"
READY_SECONDS = 60.0
# Below the range from which Linux takes the ports of outgoing connections: a server that is down for a
# moment must not lose its port to a client, nor a client that knocks meanwhile be connected to itself.
PORTS = range(20000, 32768)


class Port:
    """A free port of 127.0.0.1, kept from all other private servers on the machine until released."""

    def __init__(self) -> None:
        for number in random.sample(PORTS, 1000):
            claim = _claim(number)
            if claim is not None:
                self.number, self._claim = number, claim
                return
        raise ServerFailed(f"no free port from {PORTS.start} to {PORTS.stop - 1}")

    def release(self) -> None:
        self._claim.close()


def _claim(port: int) -> socket.socket | None:
    # Linux frees an abstract socket with its owner, however that one ends: no lock file is left behind.
    claim = socket.socket(socket.AF_UNIX)
    try:
        if sys.platform == "linux":
            claim.bind(f"\0private-test-server-{port}")
        with socket.socket() as probe:
            probe.bind((HOST, port))
    except OSError:
        claim.close()
        return None
    return claim


class Server(ABC):
    """One private server. stop(), kill() and start() keep its data and its port; close() is for good.

    The folder, if given, stays where it is. Without one, a temporary one is made and removed by close().
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    # To one whose data nobody will read: its own goodbye may take seconds.
    discard_signal: ClassVar[signal.Signals | None] = None

    def __init__(self, folder: Path | None = None) -> None:
        self._port = Port()
        self._folder = folder.absolute() if folder else None
        self._temporary: Path | None = None
        self._children: list[Child] = []
        self._main: Child | None = None
        self._lock = threading.RLock()
        self._closed = False
        _close_at_exit(self)

    @property
    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    def _launch(self) -> Child:
        """Starts what the server consists of; answers its main process."""

    @abstractmethod
    def _answers(self, connection: socket.socket) -> bool:
        """Whether the server at the other end speaks its protocol and is ready for work."""

    @property
    def port(self) -> int:
        return self._port.number

    @property
    def running(self) -> bool:
        return self._main is not None and self._main.running

    @property
    def pid(self) -> int:
        """The server's main process: the one to send signals to."""
        return self._running().pid

    @property
    def folder(self) -> Path:
        with self._lock:
            folder = self._folder or self._temporary
            if folder is None:
                folder = self._temporary = Path(tempfile.mkdtemp(prefix=f"private-{self.name.lower()}-"))
            folder.mkdir(parents=True, exist_ok=True)
            return folder

    def start(self) -> None:
        if self.running:
            return
        try:
            self._main = self._launch()
            self._wait_until_ready(self._main)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends the server as it is meant to end, and after 10 seconds by force."""
        self._end(self.stop_signal)

    def _end(self, number: signal.Signals) -> None:
        for child in reversed(self._children.copy()):
            child.end(number if child is self._main else signal.SIGTERM)
        self._children.clear()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends the main process a signal. SIGKILL takes all its processes and returns when they are gone."""
        main = self._running()
        if number == signal.SIGKILL:
            main.kill()
        else:
            main.send(number)

    def freeze(self) -> None:
        """SIGSTOP to all its processes: it takes connections, and says nothing, until `thaw()`."""
        self._running().freeze()

    def thaw(self) -> None:
        self._running().thaw()

    def close(self) -> None:
        with self._lock:
            self._closed = True
        # A folder that was given stays, and what is in it.
        self._end(self.stop_signal if self._folder else self.discard_signal or self.stop_signal)
        self._port.release()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
        _open.discard(self)

    def _running(self) -> Child:
        if self._main is None or not self._main.running:
            raise ServerFailed(f"{self.name} is not running")
        return self._main

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _spawn(
        self,
        command: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        account: Account | None = None,
    ) -> Child:
        # Of the caller's environment only the way to the programs: a RABBITMQ_*, ERL_* or PG* variable of the
        # developer's would change what is tested.
        folder = self.folder
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "HOME": str(folder)}
        with self._lock:
            if self._closed:
                raise ServerFailed(f"{self.name} was closed while it started")
            child = Child(command, folder, folder / "log", environment | dict(env or {}), account)
            self._children = [each for each in self._children if each.running] + [child]
        return child

    def _wait_until_ready(self, child: Child) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready():
            status = child.wait(0.05)
            if status is not None:
                raise ServerFailed(f"{self.name} ended with status {status}:\n{child.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} not ready in {READY_SECONDS:.0f} s:\n{child.log_tail()}")

    def _ready(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=2) as connection:
                return self._answers(connection)
        except OSError:
            return False


_open: set[Server] = set()
_owner = 0


def _close_at_exit(server: Server) -> None:
    global _owner  # noqa: PLW0603 - what is to be done at exit is a matter of the whole process
    if _owner != os.getpid():
        _owner = os.getpid()
        _open.clear()
        atexit.register(_close_all)
    _open.add(server)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM would end Python without `finally`, `with` or atexit. As a KeyboardInterrupt it runs them all,
    and pytest, which takes a SystemExit for one test's failure, ends the session."""
    if os.getpid() != _owner:  # a forked child: the servers are not its own
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        return
    raise KeyboardInterrupt("SIGTERM")


def _close_all() -> None:
    if os.getpid() != _owner or not _open:
        return
    with contextlib.suppress(ValueError):  # outside the main thread, where no signal handler runs either
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    for server in list(_open):
        server.close()
