"""Migrations beside those who work with the database, and those that are ended in the middle."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import make_url

from broker.database import Transaction, engine
from movies.handlers.movies import key_films
from movies.storage.keys import keys
from tests.integration.test_migrations import ADD, alembic, asking
from tests.platforms import Databases, connect
from tests.processes import PROGRAMS, Process, wait_until
from tests.servers import ServerUrls

SECONDS = 60
WRITE_SECONDS = 4  # of a service, see `broker.database`
FILMS = 3000
KILLS = 2


@pytest.fixture(scope="module")
def template(servers: ServerUrls) -> Iterator[str]:
    """The name of a database of movies as the release before left it, with FILMS."""
    kept = Databases.create(servers.postgres)
    assert alembic(kept, "movies", "upgrade", "0002").returncode == 0
    with asking(kept.movies) as cursor:
        cursor.execute(
            "INSERT INTO movies (title, director, description, genre, genres, trigrams, poster_url, kind,"
            " created_at, updated_at) SELECT 'Film ' || n, '', '', '', '{}', '{}', '', 'movie', now(), now()"
            f" FROM generate_series(1, {FILMS}) AS n"
        )
        cursor.execute("INSERT INTO movie_stats SELECT id, 1, 0, 0, '-Infinity' FROM movies")
    yield str(make_url(kept.movies).database)
    kept.drop()


@pytest.fixture
def of_before(databases: Databases, template: str) -> Databases:
    """A copy of it."""
    name = make_url(databases.movies).database
    with asking(databases.server) as cursor:
        cursor.execute(f"DROP DATABASE {name}")
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return databases


def migration(databases: Databases, folder: object, **more: str) -> Process:
    command = [PROGRAMS / "python", "-m", "alembic", "-n", "movies", "upgrade", "head"]
    return Process("migration", command, {"MOVIES_DATABASE_URL": databases.movies, **more}, folder)  # type: ignore[arg-type]


def revision(url: str) -> str:
    with asking(url) as cursor:
        cursor.execute("SELECT version_num FROM alembic_version")
        (found,) = cursor.fetchone() or ("",)
    return str(found)


def dump(url: str) -> object:
    """A session that holds what pg_dump does, for as long as it is open."""
    plain = make_url(url).set(drivername="postgresql").update_query_dict({"application_name": "pg_dump"})
    connection = connect(plain.render_as_string(hide_password=False))
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE movies, reviews IN ACCESS SHARE MODE")
    return connection


def test_behind_a_dump_writes_go_on_and_it_says_who_holds_it_up(
    of_before: Databases, tmp_path: object
) -> None:
    dumping = dump(of_before.movies)
    migrating = migration(of_before, tmp_path)
    writes = 0
    with asking(of_before.movies) as cursor:
        cursor.execute(f"SET statement_timeout = '{WRITE_SECONDS}s'")

        def it_waits() -> bool:
            nonlocal writes
            migrating.check()
            cursor.execute("UPDATE movies SET updated_at = now() WHERE id = 1")
            writes += 1
            return "tries again" in migrating.log.read_text()

        wait_until(it_waits, SECONDS, "it says that it waits")
        wait_until(it_waits, SECONDS, "writes go on")
    assert writes >= 2
    assert revision(of_before.movies) == "0002"
    dumping.close()  # type: ignore[attr-defined]
    assert migrating.wait(SECONDS) == 0, migrating.tail()
    said = migrating.log.read_text()
    assert re.search(r"waits for PostgreSQL's process \d+ \(pg_dump, \w+, idle in transaction since ", said)
    assert "Traceback" not in said


def test_its_patience_ends_in_one_line(of_before: Databases, tmp_path: object) -> None:
    dumping = dump(of_before.movies)
    ended = migration(of_before, tmp_path, MIGRATION_PATIENCE="1")
    assert ended.wait(SECONDS) == 1
    assert re.search(
        r"^movies: others kept its tables for 1 s \(.*pg_dump.*MIGRATION_PATIENCE$", ended.tail(), re.M
    )
    dumping.close()  # type: ignore[attr-defined]
    assert revision(of_before.movies) == "0002"


def test_data_of_a_later_release_are_left_alone_with_one_line(databases: Databases) -> None:
    with asking(databases.auth) as cursor:
        cursor.execute("CREATE TABLE alembic_version (version_num varchar(32))")
        cursor.execute("INSERT INTO alembic_version VALUES ('9999')")
    refused = alembic(databases, "auth", "upgrade", "head")
    assert refused.returncode == 2
    (line,) = (refused.stdout + refused.stderr).splitlines()
    assert line.startswith("auth: the data are at revision 9999, of a later release than this one")


def test_a_read_only_database_is_one_line(databases: Databases) -> None:
    name = make_url(databases.auth).database
    with asking(databases.auth) as cursor:
        cursor.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    refused = alembic(databases, "auth", "upgrade", "head")
    assert refused.returncode == 1
    (line,) = (refused.stdout + refused.stderr).splitlines()
    assert line.startswith("auth: the database does not do its share: cannot execute")


def is_at_work(databases: Databases) -> bool:
    """Whether a migration has a session."""
    with asking(databases.movies) as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'migration of movies'"
            " AND datname = current_database()"
        )
        return cursor.fetchone() is not None


def test_killed_at_any_moment_the_next_one_is_well(of_before: Databases, tmp_path: object) -> None:
    rng = random.Random(16)
    killed = 0
    for _ in range(KILLS):
        migrating = migration(of_before, tmp_path)
        wait_until(lambda: is_at_work(of_before) or not migrating.is_running(), SECONDS, "it is at work")  # noqa: B023
        time.sleep(rng.uniform(0, 0.3))
        killed += migrating.is_running()
        migrating.end()
    assert alembic(of_before, "movies", "upgrade", "head").returncode == 0
    with asking(of_before.movies) as cursor:
        cursor.execute("SELECT count(*) FROM movies WHERE keyed_at IS NOT NULL AND title_key LIKE 'film %%'")
        assert cursor.fetchone() == (FILMS,)
        cursor.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT count(*) FROM installation")
        assert cursor.fetchone() == (1,)
    assert killed


class NoCache:
    invalidated = 0

    def invalidate(self) -> None:
        self.invalidated += 1


def test_what_the_release_before_writes_afterwards_is_keyed(databases: Databases) -> None:
    assert alembic(databases, "movies", "upgrade", "head").returncode == 0
    with asking(databases.movies) as cursor:
        cursor.execute(ADD, ("Amélie", "", "", "Comedy"))
        cursor.execute("INSERT INTO movie_stats SELECT id, 1, 0, 0, '-Infinity' FROM movies")
    bind, cache = engine(databases.movies, 1), NoCache()
    key_films(Transaction(bind), cache)  # type: ignore[arg-type]
    with asking(databases.movies) as cursor:
        cursor.execute("SELECT title_key, keyed_at IS NULL FROM movies")
        assert cursor.fetchone() == (keys("Amélie", "", "", "Comedy")["title_key"], False)
        # The release before knows of none of it.
        cursor.execute("UPDATE movies SET title = 'Zazie', updated_at = now()")
        cursor.execute("SELECT keyed_at IS NULL FROM movies")
        assert cursor.fetchone() == (True,)
    key_films(Transaction(bind), cache)  # type: ignore[arg-type]
    with asking(databases.movies) as cursor:
        cursor.execute("SELECT title_key, keyed_at IS NULL FROM movies")
        assert cursor.fetchone() == ("zazie", False)
        cursor.execute("UPDATE movies SET poster_url = 'x', updated_at = now()")
        cursor.execute("SELECT keyed_at IS NULL FROM movies")
        assert cursor.fetchone() == (False,)
    assert cache.invalidated == 2
    bind.dispose()
