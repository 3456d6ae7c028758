"""Private RabbitMQ, Redis and PostgreSQL for the tests, on free ports of 127.0.0.1.

    with PrivateServers() as servers:
        servers.urls.amqp, servers.urls.redis, servers.urls.postgres

A server whose URL the environment gives (AMQP_URI, REDIS_URL, TEST_POSTGRES_URL) is used as it is: neither
started nor stopped. On a command line: `python -m tests.servers`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from .pgbouncer import PgBouncer
from .postgres import Postgres
from .process import ServerFailed
from .rabbitmq import RabbitMq
from .redis import Redis
from .server import Server

__all__ = [
    "PgBouncer",
    "Postgres",
    "PrivateServers",
    "RabbitMq",
    "Redis",
    "Server",
    "ServerFailed",
    "ServerUrls",
]


@dataclass(frozen=True)
class ServerUrls:
    amqp: str
    redis: str
    postgres: str  # of a superuser, who makes the databases that a test needs

    def environment(self) -> dict[str, str]:
        return {"AMQP_URI": self.amqp, "REDIS_URL": self.redis, "TEST_POSTGRES_URL": self.postgres}


class PrivateServers:
    """The three servers, started side by side. One that the environment gives is None here.

    `durable`: what PostgreSQL commits outlives the machine's crash too, at the price of a wait for the disk.
    """

    def __init__(
        self,
        folder: Path | None = None,
        environment: Mapping[str, str] = os.environ,
        *,
        durable: bool = False,
    ) -> None:
        amqp, redis, postgres = (
            environment.get(name, "") for name in ("AMQP_URI", "REDIS_URL", "TEST_POSTGRES_URL")
        )
        self.rabbitmq = None if amqp else RabbitMq(folder and folder / "rabbitmq")
        self.redis = None if redis else Redis(folder and folder / "redis")
        self.postgres = None if postgres else Postgres(folder and folder / "postgres", durable=durable)
        self.urls = ServerUrls(
            amqp=self.rabbitmq.url if self.rabbitmq else amqp,
            redis=self.redis.url if self.redis else redis,
            postgres=self.postgres.url if self.postgres else postgres,
        )

    def start(self) -> None:
        threads = ThreadPoolExecutor(max_workers=3, thread_name_prefix="start-server")
        try:
            for start in as_completed([threads.submit(server.start) for server in self._servers()]):
                start.result()
        except BaseException:
            self.close()  # ends what the threads wait for ...
            threads.shutdown()
            self.close()  # ... and removes what they wrote meanwhile
            raise
        threads.shutdown()

    def close(self) -> None:
        for server in self._servers():
            server.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _servers(self) -> list[Server]:
        return [server for server in (self.rabbitmq, self.redis, self.postgres) if server]
