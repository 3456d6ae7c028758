"""The platforms whose doors the bench stands at: in one process, and in parts."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from tests.platforms import CHEAP_PASSWORDS, CROWDED_ADDRESS, Embedded, FullDeployment, wait_until_ready
from tests.processes import PROGRAMS, Process, run
from tests.servers import PrivateServers, ServerUrls

_LIMITED = 'ulimit -n "$0" && exec "$@"'


def limited(files: int | None, command: list[str | Path]) -> list[str | Path]:
    """`command`, under `ulimit -n <files>` where there is a number."""
    return ["sh", "-c", _LIMITED, str(files), *command] if files else command


class OneProcess(Embedded):
    """As `make run` starts it, and with passwords that cost what they cost."""

    def __init__(self, folder: Path, files: int | None) -> None:
        super().__init__(folder)
        self._files = files
        self.environment = _dear(self.environment)

    def start(self) -> None:
        command = limited(self._files, [sys.executable, "standalone.py"])
        self.process = Process("standalone", command, self.environment, self.folder)
        wait_until_ready(self.gateways, self.notifiers, [self.process])

    @property
    def processes(self) -> list[Process]:
        return [self.process] if self.process else []


class Parts(FullDeployment):
    """One process of each part, with the sample catalogue, and passwords that cost what they cost."""

    def __init__(self, servers: ServerUrls, folder: Path, files: int | None) -> None:
        super().__init__(servers, folder)
        self._files = files
        self.environment = _dear(self.environment)

    def migrate(self) -> None:
        super().migrate()
        loaded = run([PROGRAMS / "python", "-m", "movies.sample"], self.environment)
        assert loaded.returncode == 0, loaded.stderr

    def start_process(self, name: str, command: list[str | Path], more: Mapping[str, str]) -> Process:
        return super().start_process(name, limited(self._files, command), more)


@dataclass
class Doors:
    """A platform that runs."""

    gateway: str
    notifier: str
    processes: list[Process]
    folder: Path
    troubles: list[str] = field(default_factory=list)  # that it had when it was to stop

    def log_bytes(self) -> int:
        return sum(log.stat().st_size for log in self.folder.glob("*.log"))

    def ended(self) -> list[str]:
        """The names of the processes that are no more."""
        return [process.name for process in self.processes if not process.is_running()]


@contextmanager
def doors(servers: ServerUrls | None, files: int | None) -> Iterator[Doors]:
    """A fresh platform: the parts on `servers`, or all in one process.

    One that does not stop as it should has that among its troubles.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        platform = Parts(servers, folder, files) if servers else OneProcess(folder, files)
        running = None
        try:
            platform.start()
            running = Doors(platform.gateways[0], platform.notifiers[0], platform.processes, folder)
            yield running
        finally:
            try:
                platform.stop()
            except AssertionError as error:
                if running is None:
                    raise
                running.troubles.append(str(error))


@contextmanager
def private_servers(separate: bool) -> Iterator[ServerUrls | None]:
    """RabbitMQ, PostgreSQL and Redis for the parts; nothing for the one process, which has its own."""
    with PrivateServers() if separate else nullcontext() as servers:
        yield servers.urls if servers else None


def _dear(environment: Mapping[str, str]) -> dict[str, str]:
    """With passwords and throttles as they are by default."""
    loose = CHEAP_PASSWORDS | CROWDED_ADDRESS
    return {name: value for name, value in environment.items() if name not in loose}
