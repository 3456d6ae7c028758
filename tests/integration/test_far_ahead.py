"""What was written while the database's clock was wrong, ten years off, is not believed for good."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg2.extensions
import pytest

from broker import idempotency
from broker.database import Transaction, engine
from broker.idempotency import Write
from movies import commands, domain
from movies.domain import Actor
from movies.handlers import movies, reviews
from movies.providers import ProcessCache
from tests.platforms import Databases, connect
from tests.processes import PROGRAMS, run
from tests.servers import ServerUrls

YEARS = timedelta(days=3650)
WEEK = timedelta(days=7)


@dataclass
class Catalogue:
    transaction: Transaction
    connection: psycopg2.extensions.connection
    cache: ProcessCache
    users: Iterator[int]

    @property
    def now(self) -> datetime:
        return self.transaction.now()

    def film(self) -> int:
        command = commands.CreateMovie(title="A film")
        return movies.create(self.transaction, self.cache, command, self._somebody(), Write(self.now))

    def review(self, film: int, at: datetime) -> int:
        """A review by somebody else again, under a clock that says `at`."""
        command = commands.CreateReview(title="Superb", rating=8)
        return reviews.create(self.transaction, self.cache, film, command, self._somebody(), Write(at))

    def delete(self, review: int) -> None:
        staff = Actor(1, "moderator", "moderator")
        reviews.delete(self.transaction, self.cache, review, staff, Write(self.now))

    def update(self, review: int, at: datetime) -> dict[str, Any]:
        (writer,) = self.rows(f"SELECT user_id FROM reviews WHERE id = {review}")[0]
        command = commands.UpdateReview(title="Better")
        reviews.update(self.transaction, self.cache, review, command, Actor(writer, "w"), Write(at))
        return reviews.get(self.transaction, review)

    def popular(self) -> list[int]:
        page = movies.popular(self.transaction, self.cache, commands.PopularPage(limit=10))
        return [film["id"] for film in page["data"]]

    def mend(self) -> int:
        return reviews.mend_popularity(self.transaction, self.cache)

    def popularity(self, film: int) -> float:
        return float(self.rows(f"SELECT popularity FROM movie_stats WHERE movie_id = {film}")[0][0])

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _somebody(self) -> Actor:
        number = next(self.users)
        self.rows(f"INSERT INTO reviewers VALUES ({number}, 'user-{number}', 1)")
        return Actor(number, f"user-{number}")


@pytest.fixture(scope="module")
def database(servers: ServerUrls) -> Iterator[str]:
    databases = Databases.create(servers.postgres)
    settings = {"MOVIES_DATABASE_URL": databases.movies}
    migrated = run([PROGRAMS / "alembic", "-n", "movies", "upgrade", "head"], settings)
    assert migrated.returncode == 0, migrated.stderr
    yield databases.movies
    databases.drop()


@pytest.fixture
def catalogue(database: str) -> Iterator[Catalogue]:
    bind, connection = engine(database, 2), connect(database)
    catalogue = Catalogue(Transaction(bind), connection, ProcessCache(60, 2**20), itertools.count(1))
    catalogue.rows("TRUNCATE movies, reviewers, idempotency_keys CASCADE")
    yield catalogue
    connection.close()
    bind.dispose()


def test_a_review_of_the_future_leads_nothing_once_it_is_noticed(catalogue: Catalogue) -> None:
    now = catalogue.now
    wrong, right, quiet = (catalogue.film() for _ in range(3))
    catalogue.review(wrong, now + YEARS)
    catalogue.review(right, now)
    assert catalogue.popular() == [wrong, right, quiet]
    assert catalogue.mend() == 1
    assert catalogue.popular() == [right, wrong, quiet]
    assert catalogue.popularity(wrong) == domain.NEVER
    assert catalogue.mend() == 0, "it is done"


def test_the_next_review_of_the_film_notices_it_too(catalogue: Catalogue) -> None:
    now = catalogue.now
    wrong = catalogue.film()
    catalogue.review(wrong, now - WEEK)
    ahead = catalogue.review(wrong, now + YEARS)
    catalogue.review(wrong, now)
    assert catalogue.popularity(wrong) == pytest.approx(domain.popularity([now - WEEK, now]))
    catalogue.delete(ahead)
    assert catalogue.popularity(wrong) == pytest.approx(domain.popularity([now - WEEK, now]))
    assert catalogue.mend() == 0


def test_deleting_it_leaves_the_others(catalogue: Catalogue) -> None:
    now = catalogue.now
    wrong = catalogue.film()
    catalogue.review(wrong, now - WEEK)
    catalogue.delete(catalogue.review(wrong, now + YEARS))
    assert catalogue.popularity(wrong) == pytest.approx(domain.age(now - WEEK))


def test_a_clock_that_was_behind_takes_nothing_from_the_reviews_that_it_did_not_know(
    catalogue: Catalogue,
) -> None:
    now = catalogue.now
    film = catalogue.film()
    catalogue.review(film, now)
    catalogue.review(film, now - YEARS)  # to that clock the first is of the future
    assert catalogue.popularity(film) == pytest.approx(domain.age(now - YEARS))
    assert catalogue.mend() == 1
    assert catalogue.popularity(film) == pytest.approx(domain.age(now))


def test_all_that_is_right_is_left_alone(catalogue: Catalogue) -> None:
    now = catalogue.now
    films = [catalogue.film() for _ in range(3)]
    for number in range(30):
        catalogue.review(films[number % 3], now - number * timedelta(hours=1))
    before = [catalogue.popularity(film) for film in films]
    assert catalogue.mend() == 0
    assert [catalogue.popularity(film) for film in films] == before


def test_nothing_is_updated_before_it_was_created(catalogue: Catalogue) -> None:
    now = catalogue.now
    film = catalogue.film()
    review = catalogue.review(film, now)
    shown = catalogue.update(review, now - YEARS)
    assert shown["updated_at"] == shown["created_at"]
    assert catalogue.rows(f"SELECT updated_at = created_at FROM reviews WHERE id = {review}") == [(True,)]
    catalogue.rows(f"UPDATE reviews SET updated_at = created_at - interval '1 hour' WHERE id = {review}")
    assert reviews.get(catalogue.transaction, review)["updated_at"] == shown["created_at"]


def test_a_key_that_was_claimed_in_the_future_is_kept_as_long_as_others(catalogue: Catalogue) -> None:
    now = catalogue.now
    for at in (now + YEARS, now - timedelta(hours=1)):
        with catalogue.transaction() as session:
            Write.under(str(at), "movies.create", 1, [], at).claim(session)
    idempotency.recall(catalogue.transaction, now)
    kept = "SELECT count(*) FROM idempotency_keys"
    idempotency.forget(catalogue.transaction, now)
    assert catalogue.rows(kept) == [(1,)]
    idempotency.forget(catalogue.transaction, now + timedelta(seconds=1))
    assert catalogue.rows(kept) == [(0,)]
