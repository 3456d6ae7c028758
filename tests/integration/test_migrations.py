"""Both databases' histories, on a real PostgreSQL."""

from __future__ import annotations

import base64
import subprocess
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import orjson
import psycopg2
import pytest
from sqlalchemy.engine import make_url

from broker.database import Transaction, engine
from movies.commands import Page, Search
from movies.storage.keys import LEXEMES, keys
from movies.storage.movies import newest_last
from movies.storage.search import search
from tests.platforms import Databases, connect
from tests.processes import PROGRAMS, run


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


FILMS = [
    # title, director, description, genre; as releases before 0003 kept them
    ("Ame\u0301lie", "Jean-Pierre Jeunet", "", "Science  Fiction, SCIENCE fiction, E\u0301ros"),
    ("İstanbul Σ", "", "Words of a description", ""),
    ("千と千尋の神隠し", "宮崎 駿", "", "アニメ"),
    ("\U0001f3ac", "", "", ""),
    *((f"Film {number}", "Somebody", "x " * 50, "Drama") for number in range(1200)),
]
ADD = """
    INSERT INTO movies
        (title, director, description, genre, genres, trigrams, poster_url, kind, created_at, updated_at)
    VALUES (%s, %s, %s, %s, '{}', '{}', '', 'movie', now(), now())
"""


@contextmanager
def asking(url: str) -> Iterator[psycopg2.extensions.cursor]:
    connection = connect(url)
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


@pytest.fixture
def of_0002(databases: Databases) -> str:
    """The URL of movies' database as the release before 0003 left it, with FILMS and a review."""
    assert alembic(databases, "movies", "upgrade", "0002").returncode == 0
    with asking(databases.movies) as cursor:
        for film in FILMS:
            cursor.execute(ADD, film)
        cursor.execute("INSERT INTO movie_stats SELECT id, 1, 0, 0, '-Infinity' FROM movies")
        cursor.execute(
            "INSERT INTO reviews (movie_id, user_id, title, body, rating, spoiler, created_at, updated_at)"
            " VALUES (1, 1, 'Cafe\u0301', '', 8, false, now(), now())"
        )
    return databases.movies


def test_films_of_before_0003_get_their_form_and_their_keys(databases: Databases, of_0002: str) -> None:
    ended = alembic(databases, "movies", "upgrade", "head")
    assert ended.returncode == 0, ended.stderr
    with asking(of_0002) as cursor:
        cursor.execute("SELECT title, director, description, genre FROM movies ORDER BY id")
        shown = cursor.fetchall()
        assert shown == [tuple(unicodedata.normalize("NFC", text) for text in film) for film in FILMS]
        for film_id, film in enumerate(shown, 1):
            made = keys(*film)
            columns = ", ".join(f"tsvector_to_array({name})" if name in LEXEMES else name for name in made)
            cursor.execute(f"SELECT {columns} FROM movies WHERE id = %s", [film_id])
            row = dict(zip(made, cursor.fetchone() or (), strict=True))
            assert {name: sorted(value) if name in LEXEMES else value for name, value in row.items()} == made
        cursor.execute("SELECT genres FROM movies WHERE id = 1")
        assert cursor.fetchone() == (["science fiction", "éros"],)
        cursor.execute("SELECT title FROM reviews")
        assert cursor.fetchone() == ("Café",)


def test_cursors_of_before_0003_are_taken_only_where_there_were_films(
    databases: Databases, of_0002: str
) -> None:
    fresh = Databases.create(databases.server)
    until = []
    for each in (databases, fresh):
        alembic(each, "movies", "upgrade", "head")
        with asking(each.movies) as cursor:
            cursor.execute("SELECT length(cursor_key), unsigned_cursors_until > now() FROM installation")
            until.append(cursor.fetchone())
    fresh.drop()
    assert until == [(32, True), (32, None)]


def unsigned(*content: object) -> str:
    """A cursor as releases before 0003 gave it out."""
    return base64.urlsafe_b64encode(orjson.dumps(content)).decode().rstrip("=")


def test_cursors_of_before_0003_go_on_where_they_were(databases: Databases, of_0002: str) -> None:
    alembic(databases, "movies", "upgrade", "head")
    bind = engine(of_0002, pool_size=1)
    last = len(FILMS)

    def first(**asked: Any) -> tuple[int, str]:
        with Transaction(bind).reading() as reader:
            rows, _ = search(reader, Search(limit=2, **asked))
        return rows[0].id, rows[0].title

    with Transaction(bind).reading() as reader:
        rows, following = newest_last(reader, Page(limit=2, cursor=unsigned("id", 0.0, 5)))
        assert [row.id for row in rows] == [6, 7]
        rows, _ = newest_last(reader, Page(limit=2, cursor=following))
        assert [row.id for row in rows] == [8, 9]
    assert first(sort="title", cursor=unsigned("title", "film 998", last - 201))[1] == "Film 999"
    assert first(sort="title", cursor=unsigned("title", "i̇stanbul σ", 2))[1] == "千と千尋の神隠し"
    assert first(sort="newest", cursor=unsigned("latest", "", 7))[0] == 8
    assert first(sort="rating", cursor=unsigned("rating", -1.0, 7))[0] == 8
    # By relevance films stand elsewhere now: it goes on behind the film, or begins anew where there is none.
    at_once = first(q="film")
    with Transaction(bind).reading() as reader:
        rows, _ = search(reader, Search(q="film", limit=3))
    assert first(q="film", cursor=unsigned("relevance", 0.6, rows[0].id))[0] == rows[1].id
    assert first(q="film", cursor=unsigned("relevance", 0.6, 1)) == at_once
    bind.dispose()


def test_0003_goes_back_with_its_films(databases: Databases, of_0002: str) -> None:
    alembic(databases, "movies", "upgrade", "head")
    assert alembic(databases, "movies", "downgrade", "0002").returncode == 0
    with asking(of_0002) as cursor:
        cursor.execute(
            "SELECT title, 'jeu' = ANY(trigrams), document @@ 'amélie'::tsquery FROM movies WHERE id = 1"
        )
        assert cursor.fetchone() == ("Amélie", True, True)
        cursor.execute(ADD, FILMS[0])
    assert alembic(databases, "movies", "upgrade", "head").returncode == 0


def test_an_extension_that_may_not_be_made_is_one_line_that_says_what_to_do(databases: Databases) -> None:
    name = make_url(databases.movies).database
    role = f"{name}_guest"
    with asking(databases.movies) as cursor:
        cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{role}'; GRANT ALL ON SCHEMA public TO {role}")
    url = make_url(databases.movies).set(username=role, password=role).render_as_string(hide_password=False)
    try:
        refused = alembic(Databases(databases.server, "", url), "movies", "upgrade", "head")
        assert refused.returncode != 0
        assert "Traceback" not in refused.stderr
        (line,) = refused.stdout.splitlines()
        assert line.startswith("FAILED: movies needs PostgreSQL's extension pg_trgm")
        assert "CREATE EXTENSION pg_trgm" in line
        # As an administrator does it.
        with asking(databases.movies) as cursor:
            cursor.execute("CREATE EXTENSION pg_trgm; CREATE EXTENSION fuzzystrmatch")
        assert alembic(Databases(databases.server, "", url), "movies", "upgrade", "head").returncode == 0
    finally:
        with asking(databases.movies) as cursor:
            cursor.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_many_migrating_at_once_do_not_get_in_each_others_way(databases: Databases) -> None:
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda _: alembic(databases, "movies", "upgrade", "head"), range(3)))
    assert [run.stderr for run in runs if run.returncode] == []


def test_an_old_backup_gives_its_accounts_the_same_uids_again(databases: Databases) -> None:
    add = """
        INSERT INTO users (username, email, password_hash, role, version, created_at, updated_at)
        VALUES (%s, %s, '', 'user', 1, now(), now())
    """
    assert alembic(databases, "auth", "upgrade", "0003").returncode == 0
    uids = []
    with asking(databases.auth) as cursor:
        for name in ("anna", "bob"):
            cursor.execute(add, [name, f"{name}@example.com"])
        for _ in range(2):
            assert alembic(databases, "auth", "upgrade", "head").returncode == 0
            # A release that knows no uids goes on opening accounts.
            cursor.execute(add, ["carol", "carol@example.com"])
            cursor.execute("SELECT uid FROM users ORDER BY id")
            uids.append([uid for (uid,) in cursor])
            cursor.execute("DELETE FROM users WHERE username = 'carol'")
            assert alembic(databases, "auth", "downgrade", "0003").returncode == 0
    (first, again) = uids
    assert len({*first, *again}) == 4
    assert first[:2] == again[:2]


def test_a_database_that_was_copied_is_in_a_new_history_once_it_is_migrated(databases: Databases) -> None:
    assert alembic(databases, "movies", "upgrade", "head").returncode == 0
    copy = Databases.create(databases.server)
    name, original = (make_url(url).database for url in (copy.movies, databases.movies))
    with asking(databases.server) as cursor:
        cursor.execute(f"DROP DATABASE {name}")
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {original}")
    histories = []
    try:
        for each in (databases, copy, copy):
            assert alembic(each, "movies", "upgrade", "head").returncode == 0
            with asking(each.movies) as cursor:
                cursor.execute("SELECT id FROM history ORDER BY number")
                histories.append([history for (history,) in cursor])
    finally:
        copy.drop()
    assert [len(each) for each in histories] == [1, 2, 2]
    assert histories[0] == histories[1][:1]
    assert histories[1] == histories[2]


def test_without_a_url_it_says_which_setting_is_empty(databases: Databases) -> None:
    nothing = Databases(databases.server, "", "")
    failed = alembic(nothing, "auth", "current")
    assert failed.returncode != 0
    assert "AUTH_DATABASE_URL is empty" in failed.stderr
