"""PgBouncer in front of PostgreSQL: with a session for each connection all holds; otherwise it is said."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2.extensions
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from broker import relay_lock
from broker.database import (
    IDLE_IN_TRANSACTION_MILLISECONDS,
    STATEMENT_MILLISECONDS,
    Transaction,
    engine,
    status,
)
from broker.relay_lock import ADVISORY_LOCK, RelayLock
from broker.sessions import SharedSession
from tests.clients import sign_up
from tests.contract.listeners import listen
from tests.platforms import Databases, FullDeployment, connect, running, wait_until_ready
from tests.processes import PROGRAMS, Process, run, wait_until
from tests.servers import PgBouncer, PrivateServers, ServerUrls

SHARING = ("transaction", "statement")
SAID = "session pooling is needed (PgBouncer: pool_mode = session)"
SECONDS = 3.0


@contextmanager
def pooled(servers: ServerUrls, **settings: str) -> Iterator[PgBouncer]:
    with PgBouncer(servers.postgres, **settings) as bouncer:
        yield bouncer


@pytest.fixture(scope="module")
def databases(servers: ServerUrls) -> Iterator[Databases]:
    """Both databases, migrated."""
    made = Databases.create(servers.postgres)
    environment = {"AUTH_DATABASE_URL": made.auth, "MOVIES_DATABASE_URL": made.movies}
    for part in ("auth", "movies"):
        assert run([PROGRAMS / "alembic", "-n", part, "upgrade", "head"], environment).returncode == 0
    yield made
    made.drop()


# --- a session for each connection


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullDeployment]:
    """On a PgBouncer as it comes, which pools sessions."""
    with PrivateServers(environment={}) as private, PgBouncer(private.urls.postgres) as bouncer:
        deployment = FullDeployment(private.urls, tmp_path_factory.mktemp("pooled"), movies=2)
        for name in ("AUTH_DATABASE_URL", "MOVIES_DATABASE_URL"):
            deployment.environment[name] = bouncer.in_front_of(deployment.environment[name])
        with running(deployment):
            yield deployment


def a_review_is_heard(deployment: FullDeployment) -> None:
    author = sign_up(deployment.gateways[0])
    movie = author.api.create_movie()
    with listen(deployment.notifiers[0], str(movie)) as listener:
        review = author.api.create_review(movie)
        assert listener.next("new_review")["review"]["id"] == review


def test_the_platform_runs_behind_it(deployment: FullDeployment) -> None:
    a_review_is_heard(deployment)
    for part in ("auth-0", "movies-0", "movies-1"):
        assert "starts again" not in deployment.process(part).log.read_text()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_another_relay_takes_over_where_its_holder_ends(deployment: FullDeployment, end: str) -> None:
    holder = next(part for part in ("movies-0", "movies-1") if relays(deployment.process(part)))
    process = deployment.process(holder)
    if end == "kill":
        process.signal(9)
        process.wait()
    else:
        process.terminate()
        assert process.stop() == 0
    a_review_is_heard(deployment)
    process.log.unlink()  # what it said of its relaying is over
    deployment.start_part(holder)
    wait_until_ready(deployment.gateways, deployment.notifiers, deployment.processes)


def relays(process: Process) -> bool:
    return "relaying the movies outbox" in process.log.read_text()


def test_every_session_is_set_as_without_it(servers: ServerUrls, databases: Databases) -> None:
    with pooled(servers) as bouncer:
        for url in (databases.movies, bouncer.in_front_of(databases.movies)):
            pool = engine(url, 2)
            with Transaction(pool)() as session:
                shown = [
                    session.scalar(text(f"SELECT setting FROM pg_settings WHERE name = '{name}'"))
                    for name in ("statement_timeout", "idle_in_transaction_session_timeout", "TimeZone")
                ]
            pool.dispose()
            assert shown == [str(STATEMENT_MILLISECONDS), str(IDLE_IN_TRANSACTION_MILLISECONDS), "UTC"]


def test_a_pooler_with_no_session_to_spare_is_taken_for_what_it_is(
    servers: ServerUrls, databases: Databases
) -> None:
    with pooled(servers, default_pool_size="1", query_wait_timeout="1") as bouncer:
        pool = engine(bouncer.in_front_of(databases.movies), 1)
        assert status(Transaction(pool)) == {"status": "OK", "database": "Connected"}
        pool.dispose()


# --- a session for each transaction, or each statement


@pytest.mark.parametrize("mode", SHARING)
def test_a_service_says_which_pooling_it_needs(servers: ServerUrls, databases: Databases, mode: str) -> None:
    with pooled(servers, pool_mode=mode) as bouncer:
        pool = engine(bouncer.in_front_of(databases.movies), 2)
        said = status(Transaction(pool))
        pool.dispose()
    assert (said["status"], said["database"]) == ("ERROR", "Not connected")
    assert said["error"].endswith(SAID)


@pytest.mark.parametrize("mode", SHARING)
def test_its_relay_says_so_once_and_leaves_no_lock(
    deployment: FullDeployment, tmp_path: Path, mode: str
) -> None:
    fresh = Databases.create(deployment.servers.postgres)
    with pooled(deployment.servers, pool_mode=mode) as bouncer:
        url = bouncer.in_front_of(fresh.movies)
        environment = {**deployment.environment, "MOVIES_DATABASE_URL": url}
        command: list[str | Path] = [PROGRAMS / "nameko", "run", "--config", "config.yaml", "movies.service"]
        process = Process("movies-pooled", command, environment, tmp_path)
        try:
            wait_until(lambda: relay_lines(process) > 0, 20, "the relay says so")
            time.sleep(3)  # three more attempts
            assert relay_lines(process) == 1
            with closing(connect(fresh.movies)) as direct:
                assert locks(direct) == 0
        finally:
            process.terminate()
            assert process.stop() == 0
    fresh.drop()


def relay_lines(process: Process) -> int:
    """How often it has said so."""
    return sum("relay starts again" in line and SAID in line for line in process.log.read_text().splitlines())


def locks(connection: psycopg2.extensions.connection) -> int:
    """Of the relay's kind, in this database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())",
            [ADVISORY_LOCK],
        )
        (count,) = cursor.fetchone() or (0,)
    return int(count)


def test_a_relay_whose_session_was_given_to_others_lets_go(servers: ServerUrls, databases: Databases) -> None:
    with pooled(servers, pool_mode="transaction") as bouncer:
        pool = create_engine(
            bouncer.in_front_of(databases.movies), poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        with pool.connect() as connection:
            lock = RelayLock(connection, SECONDS, in_memory=False)
            assert lock.take()
            lock.check()
            with closing(connect(bouncer.in_front_of(databases.movies))) as other:
                other.autocommit = False
                other.cursor().execute("SELECT 1")  # in a transaction that stays open
                with pytest.raises(SharedSession):
                    lock.check()


def test_who_waits_for_the_lock_says_who_holds_it_and_announces_nothing(
    databases: Databases, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_lock, "TELL_SECONDS", 0)
    pool = create_engine(databases.movies, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with (
        closing(connect(databases.movies)) as holder,
        holder.cursor() as cursor,
        pool.connect() as connection,
        caplog.at_level(logging.WARNING),
    ):
        cursor.execute("SET application_name = 'left behind'")
        cursor.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
        lock = RelayLock(connection, SECONDS, in_memory=False)
        assert not lock.take()
        lock.tell_of_its_holder()
        assert caplog.messages == [], "nothing waits"
        cursor.execute(
            "INSERT INTO outbox (source, type, envelope, created_at)"
            " VALUES ('movies', 'noted', '{}', now() - interval '5 minutes')"
        )
        lock.tell_of_its_holder()
        cursor.execute("DELETE FROM outbox")
        (said,) = caplog.messages
        assert f"held by PostgreSQL's process {holder.info.backend_pid} (left behind, idle)" in said
    assert said.startswith("the outbox waits, for 30")
