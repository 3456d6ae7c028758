"""A deployment on private servers, for faults: its processes are replaced as an orchestrator would."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import kombu
import requests
from psycopg2 import OperationalError
from psycopg2.extensions import connection as Connection

from broker.relay_lock import ADVISORY_LOCK
from tests.platforms import FullDeployment, connect
from tests.processes import Process, wait_until
from tests.servers import PrivateServers, Server

READY_SECONDS = 60.0
EXIT_SECONDS = 15.0


@dataclass(frozen=True)
class Size:
    """How many processes of each kind."""

    gateways: int = 2
    movies: int = 2
    notifiers: int = 2
    auths: int = 1


@dataclass(frozen=True)
class End:
    """A process that ended by itself, which none may."""

    part: str
    code: int
    last_line: str


class Stage:
    """The running deployment, the servers under it, and what became of its processes."""

    def __init__(self, servers: PrivateServers, deployment: FullDeployment) -> None:
        self.deployment = deployment
        assert servers.rabbitmq
        assert servers.postgres
        assert servers.redis
        self.rabbitmq, self.postgres, self.redis = servers.rabbitmq, servers.postgres, servers.redis
        self.ends: list[End] = []
        self.began = time.monotonic()
        self._lock = threading.Lock()  # of the list of processes

    @classmethod
    @contextmanager
    def open(
        cls, size: Size, *, folder: Path | None = None, environment: dict[str, str] | None = None
    ) -> Iterator[Self]:
        """Started, with PostgreSQL durable; ended with all its processes however the `with` is left.

        `folder`, if given, keeps the logs of the services.
        """
        with (
            tempfile.TemporaryDirectory(prefix="chaos-") as temporary,
            PrivateServers(environment={}, durable=True) as servers,
        ):
            logs = folder or Path(temporary)
            logs.mkdir(parents=True, exist_ok=True)
            deployment = FullDeployment(
                servers.urls,
                logs,
                gateways=size.gateways,
                movies=size.movies,
                notifiers=size.notifiers,
                auths=size.auths,
            )
            deployment.environment |= environment or {}
            try:
                deployment.start()
                yield cls(servers, deployment)
            finally:
                for process in deployment.processes:
                    process.end()

    @property
    def gateways(self) -> list[str]:
        return self.deployment.gateways

    @property
    def servers(self) -> dict[str, Server]:
        return {server.name: server for server in (self.rabbitmq, self.postgres, self.redis)}

    def say(self, line: str) -> None:
        """Progress, on stderr."""
        print(f"{time.monotonic() - self.began:7.1f} s  {line}", file=sys.stderr, flush=True)

    def process(self, part: str) -> Process:
        return self.deployment.process(part)

    def kill(self, part: str) -> None:
        """SIGKILL one process and start it again at once."""
        with self._lock:
            process = self.process(part)
            if process.is_running():
                process.signal(signal.SIGKILL)
                process.wait()
            self.deployment.start_part(part)

    def kill_for_good(self, part: str) -> None:
        """SIGKILL one process; `start(part)` starts it again."""
        process = self.process(part)
        process.signal(signal.SIGKILL)
        process.wait()

    def freeze(self, part: str) -> None:
        """SIGSTOP one process or a server with all its processes, until `thaw(part)`."""
        if server := self.servers.get(part):
            server.freeze()
        else:
            self.process(part).signal(signal.SIGSTOP)

    def thaw(self, part: str) -> None:
        if server := self.servers.get(part):
            server.thaw()
        else:
            self.process(part).signal(signal.SIGCONT)

    def start_beside(self, part: str) -> None:
        """Start one process more under a name that a running one has; `process(part)` is the new one."""
        with self._lock:
            self.deployment.start_part(part)

    def start(self, part: str) -> None:
        with self._lock:
            self.deployment.start_part(part)

    def terminate(self, part: str) -> tuple[int | None, float]:
        """SIGTERM one process: its exit code (None where it had to be killed), and the seconds it took."""
        return self.terminate_process(self.process(part))

    def terminate_process(self, process: Process) -> tuple[int | None, float]:
        with self._lock:  # it ends because it was told to
            began = time.monotonic()
            process.terminate()
            try:
                code: int | None = process.wait(2 * EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                process.end()
                code = None
            self.deployment.processes.remove(process)
        return code, time.monotonic() - began

    def replace_the_ended(self) -> None:
        """Start whatever has ended by itself again, and remember that it did."""
        with self._lock:
            for process in self.deployment.processes.copy():
                if not process.is_running():
                    last_line = (process.tail().splitlines() or [""])[-1]
                    self.ends.append(End(process.name, process.wait(), last_line))
                    self.say(f"{process.name} ended by itself with {process.wait()}: {last_line}")
                    self.deployment.start_part(process.name)

    def ended(self) -> str:
        """`"gateway-0: 1, movies-1: 2"`, or `"0"`."""
        counts = Counter(end.part for end in self.ends)
        return ", ".join(f"{part}: {count}" for part, count in sorted(counts.items())) or "0"

    def relay_holder(self) -> str | None:
        """The part whose relay publishes the movies' events now; None while none does."""
        try:
            with self.database("movies") as connection, connection.cursor() as cursor:
                cursor.execute(
                    "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid)"
                    " WHERE locktype = 'advisory' AND granted AND objid = %s"
                    " AND datname = current_database()",
                    (ADVISORY_LOCK,),  # beside it each relay shares the one of its deployment
                )
                names = [name for (name,) in cursor.fetchall()]
        except OperationalError:
            return None
        pids = {name.rpartition(" ")[2] for name in names}
        return next((each.name for each in self.deployment.processes if str(each.pid) in pids), None)

    @contextmanager
    def database(self, part: str) -> Iterator[Connection]:
        """A connection to the database of `auth` or `movies`."""
        connection = connect(getattr(self.deployment.databases, part))
        try:
            yield connection
        finally:
            connection.close()

    def instances(self, service: str) -> int:
        """How many processes take RPC calls to `service` now, as the broker counts; 0 without a broker."""
        try:
            with kombu.Connection(self.rabbitmq.url, connect_timeout=3) as connection:
                queue = connection.default_channel.queue_declare(f"rpc-{service}", passive=True)
                return int(queue.consumer_count)
        except (OSError, *kombu.Connection(self.rabbitmq.url).connection_errors):
            return 0

    def wait_for_instances(self, service: str, count: int) -> None:
        wait_until(
            lambda: self.instances(service) >= count, READY_SECONDS, f"{count} of {service} take calls"
        )

    def wait_for_door(self, part: str) -> None:
        """Return once a gateway or a notifier is ready; AssertionError after READY_SECONDS."""
        role, _, number = part.rpartition("-")
        doors = self.deployment.gateways if role == "gateway" else self.deployment.notifiers
        wait_until(lambda: is_ready(doors[int(number)]), READY_SECONDS, f"{part} is ready")

    def is_ready(self) -> bool:
        """Whether every front door is ready."""
        return all(is_ready(door) for door in (*self.deployment.gateways, *self.deployment.notifiers))

    def wait_until_ready(self) -> None:
        """Return once every front door is ready."""
        for part in self.deployment.parts:
            if part.startswith(("gateway", "notifications")):
                self.wait_for_door(part)


def is_ready(door: str) -> bool:
    try:
        answer = requests.get(f"{door}/health/ready", timeout=5)
        if answer.status_code == 404:  # a gateway that does not know the question
            answer = requests.get(f"{door}/api/movies/status", timeout=10)
    except requests.RequestException:
        return False
    return answer.status_code == 200
