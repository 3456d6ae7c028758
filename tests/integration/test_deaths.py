"""A message that kills whoever works on it kills two replicas, and no third."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import kombu
import pytest

from broker.errors import Unavailable
from broker.rpc_client import RPC_EXCHANGE, call
from tests.platforms import Databases, connect
from tests.processes import PROGRAMS, Process, run, wait_until
from tests.servers import RabbitMq, ServerUrls

REPLICAS = 4
SECONDS = 30
EVENTS = "evt-auth-user_updated--movies.handle_user_updated"


class Deadly:
    """Replicas of a service that dies of what asks for it, on a RabbitMQ of their own."""

    def __init__(self, amqp: str, databases: Databases, folder: Path) -> None:
        self.amqp = amqp
        self.databases = databases
        self.environment = {
            "AMQP_URI": amqp,
            "MOVIES_DATABASE_URL": databases.movies,
            "DEADLY_FOLDER": str(folder),
            "PAUSE": "3",  # seconds before an event is tried again: time to kill who waits with it
        }
        ended = run([PROGRAMS / "alembic", "-n", "movies", "upgrade", "head"], self.environment)
        assert ended.returncode == 0, ended.stderr
        self.folder = folder
        self.processes: list[Process] = []

    def start(self) -> None:
        service = "tests.integration.services:Deadly"
        command = [PROGRAMS / "nameko", "run", "--config", "config.yaml", service]
        while len(self.alive()) < REPLICAS:
            name = f"deadly-{len(self.processes)}"
            self.processes.append(Process(name, command, self.environment, self.folder))
        wait_until(lambda: self.consumers("rpc-movies") == REPLICAS, SECONDS, "all of them consume")

    def alive(self) -> list[Process]:
        return [process for process in self.processes if process.is_running()]

    def stop(self) -> None:
        for process in self.alive():
            process.stop()

    def call(self, method: str, *args: Any) -> Any:
        with kombu.Connection(self.amqp) as connection:
            return call(connection, f"movies.{method}", *args, seconds=5)

    def consumers(self, queue: str) -> int:
        with kombu.Connection(self.amqp) as connection, connection.channel() as channel:
            try:
                declared = kombu.Queue(queue, channel=channel).queue_declare(passive=True)
            except connection.channel_errors:
                return 0
            return int(declared.consumer_count)

    def publish(self, body: Any, **where: Any) -> None:
        with kombu.Connection(self.amqp) as connection, connection.channel() as channel:
            kombu.Producer(channel).publish(json.dumps(body), content_type="application/json", **where)

    def announce(self, **data: Any) -> str:
        envelope = {
            "specversion": "1.0",
            "id": uuid.uuid4().hex,
            "source": "/auth",
            "type": "user_updated",
            "time": "2026-01-01T00:00:00Z",
            "data": {"version": 1, "user": {"id": 1, "username": "somebody"}, "role": "user", **data},
        }
        self.publish(envelope, routing_key=EVENTS)
        return str(envelope["id"])

    def deaths_counted(self) -> int:
        """How many messages have work at them that began again and has not ended."""
        query = "SELECT count(*) FROM idempotency_keys WHERE fingerprint = ''"
        with closing(connect(self.databases.movies)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return int(cursor.fetchone()[0])

    def wait_for_attempt(self, before: int) -> None:
        """Return once there were more attempts at an event than `before`."""
        wait_until(lambda: len(self.lines("attempts")) > before, SECONDS, "one more attempt")

    def lines(self, name: str) -> list[str]:
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    def dead_letters(self) -> list[dict[str, Any]]:
        try:
            letters: list[dict[str, Any]] = self.call("dead_letters")
        except Unavailable:
            return []
        return letters


@pytest.fixture(scope="module")
def deadly(servers: ServerUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deadly]:
    with RabbitMq() as rabbitmq:
        databases = Databases.create(servers.postgres)
        service = Deadly(rabbitmq.url, databases, tmp_path_factory.mktemp("deadly"))
        try:
            yield service
        finally:
            service.stop()
            databases.drop()


@pytest.fixture
def replicas(deadly: Deadly) -> Deadly:
    deadly.start()
    return deadly


def test_a_call_kills_two_replicas(replicas: Deadly) -> None:
    replicas.publish(
        {"args": [-1], "kwargs": {}}, exchange=RPC_EXCHANGE.name, routing_key="movies.get", delivery_mode=1
    )
    wait_until(lambda: len(replicas.dead_letters()) == 1, SECONDS, "it is a dead letter")
    letter = replicas.dead_letters()[0]
    assert (letter["queue"], letter["error"].partition(":")[0]) == ("rpc-movies", "TooManyDeaths")
    assert len(replicas.alive()) == REPLICAS - 2


def test_an_event_kills_two_replicas_and_those_beside_it_are_handled(replicas: Deadly) -> None:
    before = len(replicas.dead_letters())
    well = [replicas.announce(number=number) for number in range(5)]
    deadly = replicas.announce(deadly=True)
    well += [replicas.announce(number=number) for number in range(5)]
    wait_until(lambda: len(replicas.dead_letters()) == before + 1, SECONDS, "it is a dead letter")
    assert replicas.dead_letters()[-1]["id"] == deadly
    assert len(replicas.alive()) == REPLICAS - 2
    with kombu.Connection(replicas.amqp) as connection, connection.channel() as channel:
        left = kombu.Queue(EVENTS, channel=channel).queue_declare(passive=True).message_count
    assert left == 0


def test_who_dies_of_something_else_counts_for_no_message_that_waits(replicas: Deadly) -> None:
    before, counts = len(replicas.dead_letters()), replicas.deaths_counted()
    away = replicas.folder / "away"
    away.touch()
    tried = len(replicas.lines("attempts"))
    event = replicas.announce()
    for _ in range(2):
        replicas.wait_for_attempt(tried)
        wait_until(lambda: replicas.deaths_counted() == counts, SECONDS, "it waits for the next attempt")
        attempts = replicas.lines("attempts")
        tried = len(attempts)
        next(holder for holder in replicas.alive() if str(holder.pid) == attempts[-1]).end()
    replicas.wait_for_attempt(tried)
    away.unlink()
    wait_until(lambda: event in replicas.lines("handled"), SECONDS, "it is handled")
    assert len(replicas.dead_letters()) == before
    assert len(replicas.alive()) == REPLICAS - 2
