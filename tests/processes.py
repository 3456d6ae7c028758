"""Processes that the tests start, and end by their ids."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(sys.executable).parent
STOP_SECONDS = 20
RUN_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return once `condition` holds; AssertionError after `seconds`. For what has no event to await."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.02)


def run(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of this project to its end, within RUN_SECONDS; its exit code is for the caller."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS,
    )


class Process:
    """A program of this project (or of the one at `root`) with its output in a file, in a group of its own."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        folder: Path,
        root: Path = ROOT,
    ):
        self.name = name
        self.log = folder / f"{name}.log"
        self._terminated = False
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=root,
                env={**os.environ, **environment, "PYTHONWARNINGS": "ignore"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def check(self) -> None:
        """AssertionError, with what it printed last, where it has ended."""
        assert self.is_running(), f"{self.name} ended with {self._process.returncode}:\n{self.tail()}"

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Its exit code, once it ends by itself."""
        return self._process.wait(seconds)

    def terminate(self) -> None:
        """SIGTERM, once."""
        if self.is_running() and not self._terminated:
            self._terminated = True
            self.signal(signal.SIGTERM)

    def end(self) -> None:
        """SIGKILL to its group, whatever state it is in; returns when it is gone."""
        if self.is_running():
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """SIGTERM, and SIGKILL to the group of one that does not heed it; its exit code."""
        self.terminate()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            return self.wait()
