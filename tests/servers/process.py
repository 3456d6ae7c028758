"""A program run for the tests: the processes that belong to it, its log, its end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOG_TAIL_BYTES = 4000
STOP_SECONDS = 10.0
ORPHAN_SECONDS = 1.0


class ServerFailed(RuntimeError):
    """A server that cannot be started; the message carries the tail of its log."""


def program(name: str, *patterns: str) -> Path:
    """The program on PATH, or the first file that one of the patterns finds (the last in sorting order)."""
    if on_path := shutil.which(name):
        return Path(on_path)
    for pattern in patterns:
        for found in sorted(Path("/").glob(pattern), reverse=True):
            if os.access(found, os.X_OK):
                return found
    raise ServerFailed(f"{name} is not installed: tests/install_servers.sh installs it")


@dataclass(frozen=True)
class Account:
    """Whom a program runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Process:
    pid: int
    started: str  # tells it from a later process that was given the same number

    def alive(self) -> bool:
        fields = _stat_fields(self.pid)
        # A zombie has ended. In a container without an init nobody may ever collect it.
        return fields is not None and fields[19] == self.started and fields[0] not in "ZX"

    def kill(self) -> None:
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the state on: the name before it may hold spaces and brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def descendants(pid: int) -> list[Process]:
    children: dict[int, list[Process]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and (fields := _stat_fields(int(entry))):
            children.setdefault(int(fields[1]), []).append(Process(int(entry), fields[19]))
    found: list[Process] = []
    parents = [pid]
    while parents:
        for child in children.get(parents.pop(), []):
            found.append(child)
            parents.append(child.pid)
    return found


class Child:
    """A program in a session of its own, so that a Ctrl-C in the terminal is not its concern but ours."""

    def __init__(
        self,
        command: Sequence[str | Path],
        folder: Path,
        log: Path,
        env: Mapping[str, str],
        account: Account | None = None,
    ) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self, seconds: float) -> int | None:
        """Its exit status, or None if it runs on."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP to it and all its descendants."""
        self.send(signal.SIGSTOP)  # from here on it starts no process that the list would miss
        for process in descendants(self.pid):
            process.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT to those whom `freeze` stopped."""
        for process in descendants(self.pid):
            process.send(signal.SIGCONT)
        self.send(signal.SIGCONT)

    def end(self, number: signal.Signals) -> None:
        """Asks it to end; after STOP_SECONDS it is killed."""
        if not self.running:
            return
        family = descendants(self.pid)
        self.send(number)
        if self.wait(STOP_SECONDS) is None:
            self.kill()
        else:
            _kill_those_left(family, ORPHAN_SECONDS)

    def kill(self) -> None:
        """Ends it and all its descendants at once.

        The process group is not enough: PostgreSQL's backends and Erlang's port programs lead groups of
        their own, and a PostgreSQL does not start again while a backend of the last one lives.
        """
        if not self.running:
            return
        self.send(signal.SIGSTOP)  # from here on it starts no process that the list would miss
        family = descendants(self.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        _kill_those_left(family, 0)
        self._process.wait()

    def log_tail(self) -> str:
        with self._log.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - LOG_TAIL_BYTES))
            return log.read().decode(errors="replace")


def _kill_those_left(processes: Sequence[Process], grace_seconds: float) -> None:
    _wait_until_gone(processes, grace_seconds)
    for process in processes:
        process.kill()
    _wait_until_gone(processes, STOP_SECONDS)


def _wait_until_gone(processes: Sequence[Process], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(process.alive() for process in processes) and time.monotonic() < deadline:
        time.sleep(0.01)
