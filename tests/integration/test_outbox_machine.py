"""The outbox and its relay's core on a real PostgreSQL, in every order that can be thought of."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from psycopg2 import sql
from sqlalchemy import Connection, Engine, create_engine, exc, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from broker import outbox
from broker.events import Event, MovieReference
from broker.relay import Held, relay_batch
from broker.relay_lock import ADVISORY_LOCK
from tests.platforms import connect
from tests.servers import ServerUrls

MOVIES = (1, 2)
NOW = datetime(2024, 5, 17, 20, 15, tzinfo=UTC)
BATCH = 4
# While the relay is frozen in the middle of sending, another takes over and publishes so many batches.
FREEZES = {"frozen for a while": 1, "frozen for long": 4}
FATES = ("taken", "refused", "lost", "taken, its confirm lost", *FREEZES)


class Noted(Event):
    type: ClassVar[str] = "noted"
    source: ClassVar[str] = "movies"
    version: int
    movie: MovieReference

    @property
    def subject(self) -> str:
        return f"movies/{self.movie.id}"


def noted(movie: int, version: int) -> Noted:
    return Noted(version=version, movie=MovieReference(id=movie, title="", genre=""))


@pytest.fixture(scope="module")
def database(servers: ServerUrls) -> Iterator[Engine]:
    """A database with an outbox and two movies that have a version."""
    name = f"test_outbox_{uuid.uuid4().hex[:12]}"
    administrator = connect(servers.postgres)
    with administrator.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        engine = create_engine(make_url(servers.postgres).set(database=name), poolclass=NullPool)
        with engine.begin() as connection:
            for statement in outbox.SCHEMA_1 + outbox.SCHEMA_2:
                connection.execute(text(statement))
            connection.execute(text("CREATE TABLE movies (id int PRIMARY KEY, version int NOT NULL)"))
        yield engine
        cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    administrator.close()


class Broker:
    """A broker that has laid down what becomes of the next events; after those it takes every one."""

    def __init__(self) -> None:
        self.fates: list[str] = []
        self.published: list[dict[str, Any]] = []
        self.freeze: Callable[[int], None] = lambda _batches: None
        self._refused: set[str] = set()

    def send(self, _event_type: str, envelope: Mapping[str, Any]) -> None:
        fate = self.fates.pop(0) if self.fates else "taken"
        if fate == "refused":
            self._refused.add(envelope["id"])
            return
        if fate == "lost":
            raise ConnectionError
        if fate in FREEZES:
            self.freeze(FREEZES[fate])
        self.published.append(dict(envelope))
        if fate == "taken, its confirm lost":
            raise ConnectionError

    def settle(self) -> set[str]:
        refused, self._refused = self._refused, set()
        return refused


class Relay:
    """A process that relays: a session of its own, and what it remembers."""

    def __init__(self, engine: Engine, broker: Broker) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self.broker = broker
        self.held = Held()
        self.connection: Connection | None = None

    def work(self) -> int:
        """One batch, where the lock is to be had; an error ends the session, as it does in the service."""
        if self.connection is None:
            self.connection = self._engine.connect()
            self.held = Held()
        lock = text("SELECT pg_try_advisory_lock(:key)")
        try:
            if self.connection.scalar(lock, {"key": ADVISORY_LOCK}):
                return relay_batch(self.connection, self.broker, self.held, BATCH)
        except (ConnectionError, exc.DBAPIError):
            self.die()
        return 0

    def die(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class OutboxMachine(RuleBasedStateMachine):
    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        with engine.begin() as connection:
            connection.execute(text("TRUNCATE outbox, movies"))
            connection.execute(text("INSERT INTO movies SELECT id, 0 FROM generate_series(1, 2) AS id"))
        self.writers: dict[int, Session] = {}
        self.locked: dict[int, int] = {}  # movie → writer
        self.recorded: dict[int, list[tuple[int, int]]] = {}  # writer → (movie, version)
        self.committed: set[tuple[int, int]] = set()
        self.broker = Broker()
        self.relays = [Relay(engine, self.broker) for _ in range(2)]

    @initialize(fates=st.tuples(*[st.sampled_from(FATES)] * 12))
    def lay_down(self, fates: tuple[str, ...]) -> None:
        self.broker.fates = list(fates)

    @rule(
        writer=st.integers(0, 2),
        movie=st.sampled_from(MOVIES),
        events=st.integers(1, 3),
        end=st.sampled_from(["commit", "commit", "roll back", "not yet"]),
    )
    def write(self, writer: int, movie: int, events: int, end: str) -> None:
        if self.locked.get(movie, writer) != writer:
            return  # it would wait for the one that holds the movie's lock
        session = self.writers.setdefault(writer, Session(self.engine))
        session.execute(text("SELECT FROM movies WHERE id = :id FOR UPDATE"), {"id": movie})
        self.locked[movie] = writer
        for _ in range(events):
            following = text("UPDATE movies SET version = version + 1 WHERE id = :id RETURNING version")
            version = session.scalar(following, {"id": movie})
            assert version is not None
            outbox.record(session, noted(movie, version), NOW)
            self.recorded.setdefault(writer, []).append((movie, version))
        if end == "commit":
            self.commit(writer)
        elif end == "roll back":
            self.roll_back(writer)

    @rule(writer=st.integers(0, 2))
    def commit_what_is_open(self, writer: int) -> None:
        self.commit(writer)

    def commit(self, writer: int) -> None:
        if writer in self.writers:
            self.writers[writer].commit()
            self.committed |= set(self.recorded[writer])
            self._forget(writer)

    def roll_back(self, writer: int) -> None:
        if writer in self.writers:
            self.writers[writer].rollback()
            self._forget(writer)

    def _forget(self, writer: int) -> None:
        self.writers.pop(writer).close()
        del self.recorded[writer]
        self.locked = {movie: holder for movie, holder in self.locked.items() if holder != writer}

    @rule(number=st.integers(0, 1), before=st.sampled_from(["", "", "its holder dies", "it tries again"]))
    def relay(self, number: int, before: str) -> None:
        if before == "its holder dies":
            self.relays[1 - number].die()
        elif before == "it tries again":
            self.relays[number].held.release()
        self._work(number)

    def _work(self, number: int) -> None:
        ours, other = self.relays[number], self.relays[1 - number]

        def freeze(batches: int) -> None:
            """PostgreSQL ends the session of the frozen relay, life goes on, another takes over."""
            self.broker.freeze = lambda _batches: None
            assert ours.connection is not None
            pid = ours.connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
            with self.engine.begin() as connection:
                connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
            for writer in list(self.writers):
                self.commit(writer)
            for _ in range(batches):
                other.work()

        self.broker.freeze = freeze
        ours.work()

    def teardown(self) -> None:
        for writer in list(self.writers):
            self.roll_back(writer)
        for _ in range(100):
            for number, relay in enumerate(self.relays):
                relay.held.release()
                self._work(number)
            if not self._waiting():
                break
        for relay in self.relays:
            relay.die()
        first: dict[str, tuple[int, int]] = {}
        for envelope in self.broker.published:
            data = envelope["data"]
            first.setdefault(envelope["id"], (data["movie"]["id"], data["version"]))
        assert sorted(first.values()) == sorted(self.committed), "every committed event, and no other"
        for movie in MOVIES:
            versions = [version for of, version in first.values() if of == movie]
            assert versions == sorted(versions), f"the versions of movie {movie} as they came"
        assert self._waiting() == 0

    def _waiting(self) -> int:
        with Session(self.engine) as session:
            return int(outbox.backlog(session, NOW)["waiting"] or 0)


def test_nothing_committed_is_lost_or_reordered_and_nothing_else_is_published(database: Engine) -> None:
    run_state_machine_as_test(
        lambda: OutboxMachine(database),
        # What fails is told as it was found: making it smaller takes minutes.
        settings=settings(max_examples=30, stateful_step_count=15, phases=[Phase.generate]),
    )


def test_what_is_not_taken_holds_up_its_own_movie_alone(database: Engine) -> None:
    broker = Broker()
    relay = Relay(database, broker)
    with Session(database) as session:
        session.execute(text("TRUNCATE outbox"))
        for version in range(1, BATCH + 2):
            outbox.record(session, noted(1, version), NOW)
        outbox.record(session, noted(2, 1), NOW)
        session.commit()
    broker.fates = ["refused"]
    assert [relay.work() for _ in range(3)] == [BATCH, 2, 0]
    assert [envelope["subject"] for envelope in broker.published] == ["movies/2"]
    relay.held.release()
    assert [relay.work() for _ in range(3)] == [BATCH, 1, 0]
    relay.die()
    assert [envelope["data"]["version"] for envelope in broker.published[1:]] == list(range(1, BATCH + 2))


def test_the_backlog_is_what_waits_and_since_when(database: Engine) -> None:
    with Session(database) as session:
        session.execute(text("TRUNCATE outbox"))
        assert outbox.backlog(session, NOW) == {"waiting": 0, "oldest_seconds": None}
        for seconds in (90, 30):
            outbox.record(session, noted(1, seconds), NOW - timedelta(seconds=seconds))
        assert outbox.backlog(session, NOW) == {"waiting": 2, "oldest_seconds": 90.0}
