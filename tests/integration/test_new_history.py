"""A new history of two databases, with what a restore leaves in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, text

from broker import history, history_table, new_history
from broker.new_history import Marks, Part, marks, start_new
from tests.integration.test_migrations import alembic
from tests.platforms import Databases
from tests.servers import ServerUrls

USER = """
    INSERT INTO users (username, email, password_hash, role, version, created_at, updated_at)
    VALUES (:name, :name || '@example.org', '', 'user', 3, now(), now()) RETURNING id, uid
"""
KNOWN = "INSERT INTO reviewers (user_id, username, version, uid) VALUES (:id, :name, 3, :uid)"
FILM = """
    INSERT INTO movies (title, description, genre, genres, poster_url, kind, director, created_by, created_at,
        updated_at, title_key, director_key, title_joined, title_bare, title_words, name_words, all_words,
        slips, spelling)
    VALUES ('Film', '', '', '{}', '', 'movie', '', :owner, now(), now(), '', '', '', '', '', '', '', '{}', '')
    RETURNING id
"""
STATS = "INSERT INTO movie_stats VALUES (:film, 7, 0, 0, '-Infinity')"
REVIEW = """
    INSERT INTO reviews (movie_id, user_id, title, body, rating, spoiler, likes, created_at, updated_at)
    VALUES (:film, :writer, 'Good', '', 8, false, :likes, now(), now()) RETURNING id
"""
EVENT = """
    INSERT INTO outbox (source, type, envelope)
    VALUES ('movies', 'review_created', CAST(:envelope AS jsonb)) RETURNING envelope
"""


@pytest.fixture(scope="module")
def databases(servers: ServerUrls) -> Iterator[Databases]:
    fresh = Databases.create(servers.postgres)
    for part in ("auth", "movies"):
        assert alembic(fresh, part, "upgrade", "head").returncode == 0
    yield fresh
    fresh.drop()


@contextmanager
def opened(databases: Databases) -> Iterator[dict[Part, Connection]]:
    """Both, in transactions that are rolled back."""
    engines = create_engine(databases.auth), create_engine(databases.movies)
    with engines[0].connect() as auth, engines[1].connect() as movies:
        yield {"auth": auth, "movies": movies}
    for engine in engines:
        engine.dispose()


@pytest.fixture
def both(databases: Databases) -> Iterator[dict[Part, Connection]]:
    with opened(databases) as connections:
        yield connections


def run(connection: Connection, statement: str, **values: Any) -> Any:
    result = connection.execute(text(statement), values)
    return result.one() if result.returns_rows else None


def scalar(connection: Connection, statement: str) -> Any:
    return connection.scalar(text(statement))


def test_an_event_names_the_history_whoever_records_it(both: dict[Part, Connection]) -> None:
    movies = both["movies"]
    of = history_table.current(movies).id
    (envelope,) = run(movies, EVENT, envelope='{"id": "abc", "data": {"version": 1}}')
    assert envelope == {"id": "abc", "data": {"version": 1, "history": of}}
    assert history.of_event(envelope["data"]) == of
    start_new(both, {"movies": None})
    # A row that is put back stays as it was.
    assert run(movies, EVENT, envelope=json.dumps(envelope)).envelope == envelope
    assert run(movies, EVENT, envelope="{}").envelope == {}


def test_both_databases_are_in_the_new_history(both: dict[Part, Connection]) -> None:
    before = history_table.current(both["auth"]), history_table.current(both["movies"])
    begun = start_new(both, {"auth": None, "movies": Marks(history=4)})
    assert begun.number == 5
    for part, former in zip(("auth", "movies"), before, strict=True):
        now = history_table.current(both[part])
        assert (now.number, now.id, now.beside, now.before) == (5, begun.id, begun.id, (former.id,))
        assert history_table.trouble(both[part], part) is None
    assert begun.includes(begun.id, begun.began_at)
    assert not begun.includes(before[0].id, begun.began_at + timedelta(days=1))
    assert not begun.includes(None, begun.began_at - timedelta(seconds=1))
    assert before[0].includes(None, datetime(2020, 1, 1, tzinfo=UTC))


def test_ids_continue_beyond_what_any_of_them_knows(both: dict[Part, Connection]) -> None:
    auth, movies = both["auth"], both["movies"]
    run(movies, KNOWN, id=5_000_000, name="lost", uid=None)
    lost = Marks(history=1, highest={"users.id": 70, "reviews.id": 9_000_000})
    start_new(both, {"auth": lost, "movies": lost})
    assert run(auth, USER, name="new").id > 5_000_000 + new_history.LEAST_GAP
    film = run(movies, FILM, owner=None).id
    assert film > new_history.LEAST_GAP
    assert run(movies, REVIEW, film=film, writer=None, likes=0).id > 9_000_000 + new_history.LEAST_GAP


def test_what_the_lost_time_may_have_given_out_is_left_out(both: dict[Part, Connection]) -> None:
    year = 365 * 86400
    start_new(both, {"movies": None}, datetime.now(UTC) - timedelta(seconds=year))
    assert run(both["movies"], FILM, owner=None).id > year * new_history.GAP_A_SECOND


def test_numbers_do_not_end(both: dict[Part, Connection]) -> None:
    for _ in range(20):
        start_new(both, {"auth": None, "movies": None}, datetime(1970, 1, 1, tzinfo=UTC))
    assert run(both["movies"], FILM, owner=None).id < new_history.MOST
    assert run(both["auth"], USER, name="last").id < new_history.MOST
    assert new_history.gap(1e12, new_history.MOST - 3) == 1
    assert new_history.gap(0) == new_history.LEAST_GAP


def test_versions_of_what_was_there_never_go_back(both: dict[Part, Connection]) -> None:
    film = run(both["movies"], FILM, owner=None).id
    run(both["movies"], STATS, film=film)
    run(both["auth"], USER, name="alice")
    recorded = scalar(both["movies"], "SELECT last_value FROM outbox_id_seq")
    start_new(both, {"auth": None, "movies": Marks(highest={"outbox.id": recorded + 500_000})})
    # Each of the lost events may have been of this film.
    assert scalar(both["movies"], "SELECT min(version) FROM movie_stats") > 7 + 500_000
    assert scalar(both["auth"], "SELECT min(version) FROM users") > 3


def test_nobody_is_signed_in_any_more(both: dict[Part, Connection]) -> None:
    auth = both["auth"]
    run(auth, "INSERT INTO signing_keys VALUES ('kid', 'pem', now())")
    run(auth, "INSERT INTO sessions VALUES ('session', 1, now() + interval '1 day')")
    start_new(both, {"movies": None})
    assert scalar(auth, "SELECT count(*) FROM signing_keys") == 0
    assert scalar(auth, "SELECT count(*) FROM sessions") == 0


def test_what_a_lost_account_wrote_stays_unsigned(both: dict[Part, Connection]) -> None:
    auth, movies = both["auth"], both["movies"]
    alice, other = run(auth, USER, name="alice"), run(auth, USER, name="other")
    run(movies, KNOWN, id=alice.id, name="alicia", uid=None)
    run(movies, KNOWN, id=other.id, name="lost", uid="00000000-0000-0000-0000-000000000001")
    run(movies, KNOWN, id=777, name="gone", uid=None)
    film, theirs = run(movies, FILM, owner=777).id, run(movies, FILM, owner=other.id).id
    review = run(movies, REVIEW, film=film, writer=alice.id, likes=3).id
    for user in (other.id, 777, 778):
        run(movies, "INSERT INTO review_likes VALUES (:review, :user)", review=review, user=user)
    of_gone = run(movies, REVIEW, film=film, writer=777, likes=0).id
    of_other = run(movies, REVIEW, film=film, writer=other.id, likes=0).id
    start_new(both, {"auth": None})

    def writer(review_id: int) -> object:
        return run(movies, "SELECT user_id FROM reviews WHERE id = :id", id=review_id).user_id

    assert [writer(each) for each in (review, of_gone, of_other)] == [alice.id, None, None]
    for each in (film, theirs):
        assert run(movies, "SELECT created_by FROM movies WHERE id = :id", id=each).created_by is None
    assert scalar(movies, "SELECT max(likes) FROM reviews") == 0
    (known,) = movies.execute(text("SELECT * FROM reviewers")).all()
    assert (known.user_id, known.username, known.uid) == (alice.id, "alice", alice.uid)
    assert known.version == scalar(auth, "SELECT version FROM users WHERE username = 'alice'")


def test_marks_are_had_of_any_release_and_of_an_empty_database(servers: ServerUrls) -> None:
    empty = Databases.create(servers.postgres)
    try:
        with opened(empty) as connections:
            assert {part: marks(each).highest for part, each in connections.items()} == {
                "auth": {"users.id": 0},
                "movies": {"users.id": 0},
            }
        assert alembic(empty, "movies", "upgrade", "0003").returncode == 0
        with opened(empty) as connections:
            run(connections["movies"], FILM, owner=17)
            of_before = marks(connections["movies"])
        assert of_before.history == 0
        assert of_before.of("movies.id") == 1
        assert of_before.of("users.id") == 17
    finally:
        empty.drop()
