"""Both databases' histories, on a real PostgreSQL."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.platforms import Databases, connect
from tests.processes import PROGRAMS, run
from tests.servers import ServerUrls


@pytest.fixture
def databases(servers: ServerUrls) -> Iterator[Databases]:
    fresh = Databases.create(servers.postgres)
    yield fresh
    fresh.drop()


def alembic(databases: Databases, part: str, *command: str) -> subprocess.CompletedProcess[str]:
    urls = {"AUTH_DATABASE_URL": databases.auth, "MOVIES_DATABASE_URL": databases.movies}
    return run([PROGRAMS / "alembic", "-n", part, *command], urls)


def tables(url: str) -> set[str]:
    connection = connect(url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        names = {str(name) for (name,) in cursor}
    connection.close()
    return names


@pytest.mark.parametrize("part", ["auth", "movies"])
def test_a_history_goes_up_down_and_up_again(databases: Databases, part: str) -> None:
    url = getattr(databases, part)
    assert alembic(databases, part, "upgrade", "head").returncode == 0
    full = tables(url)
    assert alembic(databases, part, "downgrade", "base").returncode == 0
    assert tables(url) == {"alembic_version"}
    assert alembic(databases, part, "upgrade", "head").returncode == 0
    assert tables(url) == full


def test_titles_are_indexed_by_trigrams_where_the_extension_can_be_had(databases: Databases) -> None:
    alembic(databases, "movies", "upgrade", "head")
    connection = connect(databases.movies)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'")
        available = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM pg_indexes WHERE indexname = 'movies_title'")
        assert cursor.fetchone() == available
    connection.close()


def test_many_migrating_at_once_do_not_get_in_each_others_way(databases: Databases) -> None:
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda _: alembic(databases, "movies", "upgrade", "head"), range(3)))
    assert [run.stderr for run in runs if run.returncode] == []


def test_without_a_url_it_says_which_setting_is_empty(databases: Databases) -> None:
    nothing = Databases(databases.server, "", "")
    failed = alembic(nothing, "auth", "current")
    assert failed.returncode != 0
    assert "AUTH_DATABASE_URL is empty" in failed.stderr
