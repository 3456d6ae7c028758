"""The platform as the tests drive it: as parts on real servers, or embedded in one process."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, Self

import kombu
import psycopg2
import requests
from psycopg2 import sql
from sqlalchemy.engine import make_url

from broker.rpc_client import call
from tests.processes import PROGRAMS, Process, free_port, run, wait_until
from tests.servers import ServerUrls

START_SECONDS = 60
# Half of what the tests take would be the hashing of passwords.
CHEAP_PASSWORDS = {"PASSWORD_COST": "1024"}
# All that the tests act for comes from one address, and some of them mistake passwords for a living.
CROWDED_ADDRESS = {
    "THROTTLE_READS": "1000000 per minute",
    "THROTTLE_WRITES": "1000000 per minute",
    "THROTTLE_SIGN_INS": "1000000 per minute",
    "THROTTLE_REGISTRATIONS": "1000000 per minute",
    "THROTTLE_GUESSES": "1000000 per minute",
    "THROTTLE_ACCOUNT_GUESSES": "1000000 per minute",
    "THROTTLE_HASHES": "1000",
    "GATEWAY_ADDRESS_REQUESTS": "1000",
    "GATEWAY_ADDRESS_CONCURRENCY": "1000",
}


class Platform(Protocol):
    """What every test of the contract needs of a running platform."""

    name: str
    gateways: list[str]  # base URLs
    notifiers: list[str]

    def set_role(self, username: str, role: str) -> None:
        """As an operator does."""


@contextmanager
def running(platform: Embedded | FullDeployment) -> Iterator[None]:
    """Starts a platform for the length of a `with`, and stops whatever of it has come up."""
    try:
        platform.start()
        yield
    finally:
        platform.stop()


def wait_until_ready(gateways: list[str], notifiers: list[str], processes: list[Process]) -> None:
    """Return once every front door answers, and with it all that is behind it."""

    def ready() -> bool:
        for process in processes:
            process.check()
        try:
            return all(
                requests.get(url, timeout=10).status_code == 200
                for gateway in gateways
                for url in (f"{gateway}/api/auth/status", f"{gateway}/api/movies/status")
            ) and all(requests.get(f"{url}/health/ready", timeout=10).status_code == 200 for url in notifiers)
        except requests.RequestException:
            return False

    wait_until(ready, START_SECONDS, "the platform answers")


@dataclass(frozen=True)
class Databases:
    """Two fresh databases on a PostgreSQL that was started for, or handed to, the tests."""

    server: str
    auth: str
    movies: str

    @classmethod
    def create(cls, server: str) -> Self:
        suffix = uuid.uuid4().hex[:12]
        names = {part: f"test_{part}_{suffix}" for part in ("auth", "movies")}
        url = make_url(server)
        for name in names.values():
            _administer(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        urls = {
            part: url.set(database=name).render_as_string(hide_password=False) for part, name in names.items()
        }
        return cls(server, urls["auth"], urls["movies"])

    def drop(self) -> None:
        for url in (self.auth, self.movies):
            name = make_url(url).database or ""
            _administer(self.server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def connect(url: str) -> psycopg2.extensions.connection:
    """A connection to SQLAlchemy's `url`, in autocommit."""
    connection = psycopg2.connect(
        make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    )
    connection.autocommit = True
    return connection


def _administer(server: str, statement: sql.Composed) -> None:
    connection = connect(server)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


class FullDeployment:
    """The parts as processes of their own on RabbitMQ, PostgreSQL and Redis, as many of each as asked for."""

    name = "full deployment"
    _brokers: ClassVar[set[str]] = set()  # of those that there are now

    def __init__(
        self,
        servers: ServerUrls,
        folder: Path,
        *,
        gateways: int = 1,
        movies: int = 1,
        notifiers: int = 1,
        auths: int = 1,
    ) -> None:
        # Calls would be answered by whichever of them takes them first.
        assert servers.amqp not in self._brokers, "another deployment is on this RabbitMQ: take `apart`"
        self._brokers.add(servers.amqp)
        self.folder = folder
        self.servers = servers
        self.databases = Databases.create(servers.postgres)
        self.environment = {
            "AMQP_URI": servers.amqp,
            "REDIS_URL": servers.redis,
            "AUTH_DATABASE_URL": self.databases.auth,
            "MOVIES_DATABASE_URL": self.databases.movies,
            "SIGNING_KEY_SECRET": "a secret of the tests",
            **CHEAP_PASSWORDS,
            **CROWDED_ADDRESS,
        }
        self.of_part: dict[str, dict[str, str]] = {}  # what a process has in its environment, by its name
        self.processes: list[Process] = []
        self._gateway_ports = [free_port() for _ in range(gateways)]
        self._notifier_ports = [free_port() for _ in range(notifiers)]
        self.gateways = [f"http://127.0.0.1:{port}" for port in self._gateway_ports]
        self.notifiers = [f"http://127.0.0.1:{port}" for port in self._notifier_ports]
        counts = {"auth": auths, "movies": movies, "gateway": gateways, "notifications": notifiers}
        # The names of the processes, by which each can be started again.
        self.parts = [f"{role}-{number}" for role, count in counts.items() for number in range(count)]

    def start(self) -> None:
        self.migrate()
        for part in self.parts:
            self.start_part(part)
        wait_until_ready(self.gateways, self.notifiers, self.processes)

    def migrate(self) -> None:
        for part in ("auth", "movies"):
            ended = run([PROGRAMS / "alembic", "-n", part, "upgrade", "head"], self.environment)
            assert ended.returncode == 0, ended.stderr

    def start_part(self, part: str) -> Process:
        """Start one process, `auth-0`, `movies-1`, `gateway-0` or `notifications-0`.

        One of that name which has ended makes room for it; a front door keeps its port. Auth and movies
        come in any number.
        """
        role, _, number = part.rpartition("-")
        if role == "notifications":
            port = {"NOTIFIER_PORT": str(self._notifier_ports[int(number)])}
            return self.start_process(part, [PROGRAMS / "python", "-m", "notifications"], port)
        if role == "gateway":
            return self.start_service(
                role, int(number), {"GATEWAY_PORT": str(self._gateway_ports[int(number)])}
            )
        return self.start_service(role, int(number), {})

    def start_service(self, service: str, number: int, more: Mapping[str, str]) -> Process:
        """Start a Nameko service as `<service>-<number>`, with more in its environment."""
        command = [PROGRAMS / "nameko", "run", "--config", "config.yaml", f"{service}.service"]
        return self.start_process(f"{service}-{number}", command, more)

    def process(self, part: str) -> Process:
        """The one that was last started under that name."""
        return next(each for each in reversed(self.processes) if each.name == part)

    def start_process(self, name: str, command: list[str | Path], more: Mapping[str, str]) -> Process:
        process = Process(
            name, command, {**self.environment, **self.of_part.get(name, {}), **more}, self.folder
        )
        others = [each for each in self.processes if each.name != name or each.is_running()]
        self.processes = [*others, process]
        return process

    def rpc(self, method: str, *args: object) -> object:
        """Call `service.method` as a process without Nameko does."""
        with kombu.Connection(self.servers.amqp) as connection:
            return call(connection, method, *args, seconds=10)

    def set_role(self, username: str, role: str) -> None:
        self.rpc("auth.set_role", username, role)

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()  # all of them first: each takes a few seconds to finish
        codes = {process.name: process.stop() for process in self.processes}
        self._brokers.discard(self.servers.amqp)
        self.databases.drop()
        assert set(codes.values()) <= {0}, f"exit codes after SIGTERM: {codes}"


class Embedded:
    """Everything in one process, as `make run` starts it."""

    name = "embedded default"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        gateway, notifier = free_port(), free_port()
        self.gateways = [f"http://127.0.0.1:{gateway}"]
        self.notifiers = [f"http://127.0.0.1:{notifier}"]
        self.environment = {
            "GATEWAY_PORT": str(gateway),
            "NOTIFIER_PORT": str(notifier),
            "DATA_FOLDER": str(folder / "data"),
            **CHEAP_PASSWORDS,
            **CROWDED_ADDRESS,
            # Whatever is handed to the tests is for the full deployment.
            **dict.fromkeys(("AUTH_DATABASE_URL", "MOVIES_DATABASE_URL", "REDIS_URL"), ""),
            "AMQP_URI": "memory://",
        }
        self.process: Process | None = None

    def start(self) -> None:
        self.process = self.launched()
        wait_until_ready(self.gateways, self.notifiers, [self.process])

    def launched(self) -> Process:
        """The process, before anything of it answers."""
        return Process("standalone", [sys.executable, "standalone.py"], self.environment, self.folder)

    def set_role(self, username: str, role: str) -> None:
        ended = run([sys.executable, "standalone.py", "set-role", username, role], self.environment)
        assert ended.returncode == 0, ended.stderr

    def stop(self) -> int:
        assert self.process is not None
        return self.process.stop()
