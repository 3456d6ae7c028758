"""A part in a process of its own refuses what only `make run` can do with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg2.extensions
import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from auth import domain
from broker.relay_lock import OtherDeployment, RelayLock
from tests.clients import sign_up
from tests.integration.queues import EventQueue
from tests.platforms import Databases, Embedded, FullDeployment, connect, running
from tests.processes import PROGRAMS, run, wait_until

SERVICES = ("auth", "movies", "gateway")
COMPLETE = {
    "AMQP_URI": "amqp://guest:guest@127.0.0.1:1//",
    "AUTH_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    "MOVIES_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    "SIGNING_KEY_SECRET": "a secret of the tests",
    "PYTHONWARNINGS": "ignore",
}


def start(part: str, **wrong: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [PROGRAMS / "nameko", "run", "--config", "config.yaml", f"{part}.service"]
    if part == "notifications":
        command = [PROGRAMS / "python", "-m", "notifications"]
    return run(command, {**COMPLETE, **wrong})


@pytest.mark.parametrize("broker", ["memory://", "memory://localhost/"])
@pytest.mark.parametrize("part", [*SERVICES, "notifications"])
def test_a_broker_in_memory_is_refused_in_one_line(part: str, broker: str) -> None:
    ended = start(part, AMQP_URI=broker)
    assert ended.returncode != 0
    assert ended.stderr == (
        f"{part}: setting AMQP_URI is memory://: a part in a process of its own needs a RabbitMQ URL "
        "(the embedded broker comes with `make run`)\n"
    )


@pytest.mark.parametrize("part", [*SERVICES, "notifications"])
@pytest.mark.parametrize(
    "broker", ["redis://127.0.0.1:1/0", "filesystem://", "", "127.0.0.1", "amqp://a;redis://b"]
)
def test_a_broker_that_confirms_nothing_is_refused_in_one_line(part: str, broker: str) -> None:
    ended = start(part, AMQP_URI=broker)
    assert ended.returncode != 0
    assert ended.stderr.startswith(f"{part}: setting AMQP_URI: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("part", "setting"),
    [("auth", "AUTH_DATABASE_URL"), ("movies", "MOVIES_DATABASE_URL")],
)
def test_what_only_make_run_brings_is_named_in_one_line(part: str, setting: str) -> None:
    ended = start(part, **{setting: ""})
    assert ended.returncode != 0
    assert ended.stderr.startswith(
        f"{part}: setting {setting} is empty: a part in a process of its own needs "
    )
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("service", ["auth", "movies"])
def test_the_health_command_says_what_is_missing(service: str) -> None:
    asked = run([PROGRAMS / "python", "-m", "broker.health", service], {"AMQP_URI": "memory://"})
    assert asked.returncode == 2
    assert asked.stderr.startswith(f"{service}: setting AMQP_URI is memory://: ")


def test_a_movies_service_without_a_broker_takes_no_event_of_the_others(
    full_deployment: FullDeployment, tmp_path: Path
) -> None:
    """One export forgotten, beside a platform: nothing is «published» to nobody."""
    databases = full_deployment.databases
    ended = start("movies", AMQP_URI="memory://", MOVIES_DATABASE_URL=databases.movies)
    assert ended.returncode != 0
    author = sign_up(full_deployment.gateways[0])
    with EventQueue(full_deployment.servers.amqp, "movies", "movie_created") as events:
        movies = {author.api.create_movie() for _ in range(5)}
        heard = events.wait_for(lambda bodies: len(bodies) >= len(movies))
    assert {event["data"]["movie"]["id"] for event in heard} >= movies
    connection = connect(databases.movies)
    wait_until(lambda: _rows(connection) == 0, 5, "all are announced")
    connection.close()


def test_make_run_on_the_database_of_a_platform_takes_no_event_of_its(
    full_deployment: FullDeployment, tmp_path: Path
) -> None:
    """All URLs exported but AMQP_URI, and `make run` typed."""
    other = Embedded(tmp_path)
    other.environment |= {
        "AUTH_DATABASE_URL": full_deployment.databases.auth,
        "MOVIES_DATABASE_URL": full_deployment.databases.movies,
        "SIGNING_KEY_SECRET": full_deployment.environment["SIGNING_KEY_SECRET"],
    }
    said = "the movies relay starts again: setting AMQP_URI is memory://, and others announce what is in this"
    with EventQueue(full_deployment.servers.amqp, "movies", "movie_created") as events, running(other):
        author = sign_up(other.gateways[0])
        movies = {author.api.create_movie() for _ in range(5)}
        heard = events.wait_for(lambda bodies: len(bodies) >= len(movies))
        assert other.process is not None
        assert said in other.process.log.read_text()
    assert {event["data"]["movie"]["id"] for event in heard} >= movies


def test_two_deployments_do_not_announce_from_one_database(full_deployment: FullDeployment) -> None:
    databases = Databases.create(full_deployment.servers.postgres)
    pool = create_engine(databases.movies, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with pool.connect() as one, pool.connect() as other, pool.connect() as third:
        assert RelayLock(one, 3, in_memory=False).take()
        assert not RelayLock(other, 3, in_memory=False).take()
        with pytest.raises(OtherDeployment, match="memory://"):
            RelayLock(third, 3, in_memory=True).take()
        one.close()
        other.close()
        wait_until(lambda: takes_alone(third), 5, "the sessions of the others have ended")
        with pool.connect() as fourth, pytest.raises(OtherDeployment, match="make run"):
            RelayLock(fourth, 3, in_memory=False).take()
    databases.drop()


def takes_alone(connection: Connection) -> bool:
    try:
        return RelayLock(connection, 3, in_memory=True).take()
    except OtherDeployment:
        return False


def _rows(connection: psycopg2.extensions.connection) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM outbox")
        (count,) = cursor.fetchone() or (0,)
    return int(count)


def test_a_movies_service_without_redis_says_what_that_means(
    full_deployment: FullDeployment, tmp_path: Path
) -> None:
    process = full_deployment.start_process(
        "movies-9",
        [PROGRAMS / "nameko", "run", "--config", "config.yaml", "movies.service"],
        {"REDIS_URL": ""},
    )
    try:
        wait_until(lambda: "setting REDIS_URL is empty" in process.log.read_text(), 20, "it warns")
    finally:
        process.terminate()
        assert process.stop() == 0
        full_deployment.processes.remove(process)


def test_keys_that_lay_in_the_clear_are_good_once_there_is_a_secret() -> None:
    before = domain.new_signing_key("")
    assert domain.public_jwk(before, "a secret by now") == domain.public_jwk(before, "")
