"""Use cases of movies."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from sqlalchemy import Row
from sqlalchemy.orm import Session

from broker import outbox
from broker.database import Transaction
from broker.errors import Forbidden, NotFound
from broker.events import MovieCreated, MovieDeleted, MovieUpdated
from broker.idempotency import Write
from movies import commands, presentation
from movies.domain import Actor, Aggregate
from movies.handlers import people
from movies.storage import movies as storage
from movies.storage import search as finding
from movies.storage.keying import key_some

NOT_FOUND = "Movie not found"
SUGGESTIONS = 10


class Cache(Protocol):
    """Pages of results; see `providers.PageCache`."""

    def key(self, kind: str, asked: dict[str, Any]) -> str | None: ...

    def get(self, key: str | None) -> Any: ...

    def put(self, key: str | None, page: Any) -> None: ...

    def invalidate(self) -> None: ...


@contextmanager
def changing(transaction: Transaction, cache: Cache) -> Iterator[Session]:
    """A transaction after which no page of before stands.

    Also where a repetition wrote nothing: whoever did the first write may have died before it came to this.
    """
    with transaction() as session:
        yield session
    cache.invalidate()


def get(transaction: Transaction, movie_id: int) -> dict[str, Any]:
    with transaction.reading() as reader:
        return presentation.movie(known(storage.get(reader, movie_id)))


def list_page(transaction: Transaction, asked: commands.Page) -> dict[str, Any]:
    with transaction.reading() as reader:
        rows, next_cursor = storage.newest_last(reader, asked)
    return {"data": [presentation.movie(row) for row in rows], "next_cursor": next_cursor}


def key_films(transaction: Transaction, cache: Cache) -> None:
    """Give their keys to the films that the release before has written since the migration."""
    last: int | None = 0
    while last is not None:
        with transaction() as session:
            last = key_some(session, last)
        if last is not None:
            cache.invalidate()


def popular(transaction: Transaction, cache: Cache, asked: commands.PopularPage) -> dict[str, Any]:
    key = cache.key("popular", asked.model_dump())
    if (page := cache.get(key)) is not None:
        return {**page, "cached": True}
    with transaction.reading() as reader:
        rows = storage.popular(reader, asked.limit)
    page = {"data": [presentation.movie(row) for row in rows]}
    cache.put(key, page)
    return {**page, "cached": False}


def search(transaction: Transaction, cache: Cache, asked: commands.Search) -> dict[str, Any]:
    key = cache.key("search", asked.model_dump())
    if (page := cache.get(key)) is not None:
        return {**page, "cached": True}
    with transaction.reading() as reader:
        rows, next_cursor = finding.search(reader, asked)
    page = {"data": [presentation.movie(row) for row in rows], "next_cursor": next_cursor}
    cache.put(key, page)
    return {**page, "cached": False}


def suggest(transaction: Transaction, cache: Cache, asked: commands.Suggest) -> list[dict[str, Any]]:
    if not asked.q:
        return []
    key = cache.key("suggest", asked.model_dump())
    if (page := cache.get(key)) is not None:
        return list(page)
    with transaction.reading() as reader:
        films = [presentation.suggestion(row) for row in finding.suggest(reader, asked.q, SUGGESTIONS)]
    cache.put(key, films)
    return films


def create(
    transaction: Transaction,
    cache: Cache,
    command: commands.CreateMovie,
    actor: Actor,
    write: Write,
) -> int:
    with changing(transaction, cache) as session:
        if earlier := write.claim(session):
            return int(earlier.answer)
        people.known(session, actor)
        row = storage.add(session, command.model_dump(), actor.id, write.now)
        outbox.record(session, presentation.movie_event(MovieCreated, row, row.version), write.now)
        return write.settle(session, int(row.id))


def update(
    transaction: Transaction,
    cache: Cache,
    movie_id: int,
    command: commands.UpdateMovie,
    actor: Actor,
    write: Write,
) -> None:
    changes = command.changes()
    with changing(transaction, cache) as session:
        if write.claim(session):
            return
        people.same(session, actor)
        before = _changeable(storage.lock(session, movie_id), actor)
        storage.change(session, before, changes, write.now)
        prior = changes.get("rating", before.prior)
        version = storage.save_aggregate(session, movie_id, prior, aggregate(before))
        after = known(storage.get(session, movie_id))
        outbox.record(session, presentation.movie_event(MovieUpdated, after, version), write.now)


def delete(transaction: Transaction, cache: Cache, movie_id: int, actor: Actor, write: Write) -> None:
    """Its reviews go with it; `movie_deleted` stands for them all."""
    with changing(transaction, cache) as session:
        if write.claim(session):
            return
        people.same(session, actor)
        row = _changeable(storage.lock(session, movie_id), actor)
        storage.remove(session, movie_id)
        outbox.record(session, presentation.movie_event(MovieDeleted, row, row.version + 1), write.now)


def known(row: Row[Any] | None) -> Row[Any]:
    """Raises NotFound for a movie that is not there."""
    if row is None:
        raise NotFound(NOT_FOUND)
    return row


def aggregate(row: Row[Any]) -> Aggregate:
    return Aggregate(row.review_count, row.rating_sum, row.popularity)


def _changeable(row: Row[Any] | None, actor: Actor) -> Row[Any]:
    row = known(row)
    if not actor.may_change_movie(row.created_by):
        raise Forbidden("Only who added the movie, moderators and admins may do this")
    return row
