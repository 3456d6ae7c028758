"""Use cases of reviews, likes and reviewers."""

import logging
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from broker import outbox
from broker.clock import AHEAD
from broker.database import Transaction
from broker.errors import Conflict, Forbidden, NotFound
from broker.events import ReviewCreated, ReviewDeleted, ReviewUpdated
from broker.idempotency import Write
from movies import commands, domain, presentation
from movies.domain import Actor, Aggregate
from movies.handlers import people
from movies.handlers.movies import Cache, aggregate, changing, known
from movies.storage import movies as movie_storage
from movies.storage import reviews as storage

_log = logging.getLogger(__name__)

NOT_FOUND = "Review not found"


def create(
    transaction: Transaction,
    cache: Cache,
    movie_id: int,
    command: commands.CreateReview,
    actor: Actor,
    write: Write,
) -> int:
    with changing(transaction, cache) as session:
        if earlier := write.claim(session):
            return int(earlier.answer)
        people.known(session, actor)
        movie = known(movie_storage.lock(session, movie_id))
        review = storage.add(session, movie_id, actor, command.model_dump(), write.now)
        if review is None:
            raise Conflict("You have already reviewed this movie")
        after = _counted(session, movie, write.now, but=review.id).with_review(command.rating, write.now)
        version = movie_storage.save_aggregate(session, movie_id, movie.prior, after)
        outbox.record(session, presentation.review_event(ReviewCreated, review, movie, version), write.now)
        return write.settle(session, int(review.id))


def update(
    transaction: Transaction,
    cache: Cache,
    review_id: int,
    command: commands.UpdateReview,
    actor: Actor,
    write: Write,
) -> None:
    changes = command.changes()
    with changing(transaction, cache) as session:
        if write.claim(session):
            return
        people.same(session, actor)
        movie, before = _locked(session, review_id)
        if before.user_id != actor.id:
            raise Forbidden("Only its writer may change a review")
        review = storage.change(session, review_id, changes, write.now)
        after = aggregate(movie).with_rating_changed(before.rating, review.rating)
        version = movie_storage.save_aggregate(session, movie.id, movie.prior, after)
        outbox.record(session, presentation.review_event(ReviewUpdated, review, movie, version), write.now)


def delete(transaction: Transaction, cache: Cache, review_id: int, actor: Actor, write: Write) -> None:
    with changing(transaction, cache) as session:
        if write.claim(session):
            return
        people.same(session, actor)
        movie, review = _locked(session, review_id)
        if not actor.may_delete_review(review.user_id):
            raise Forbidden("Only its writer, moderators and admins may delete a review")
        storage.remove(session, review_id)
        before = _counted(session, movie, write.now)
        popularity = domain.popularity_without(before.popularity, review.created_at)
        if popularity is None or review.created_at > write.now + AHEAD:
            popularity = storage.popularity(session, movie.id, write.now)
        after = before.without_review(review.rating, popularity)
        version = movie_storage.save_aggregate(session, movie.id, movie.prior, after)
        outbox.record(session, presentation.review_event(ReviewDeleted, review, movie, version), write.now)


def get(transaction: Transaction, review_id: int) -> dict[str, Any]:
    with transaction.reading() as reader:
        return presentation.review(_known(storage.get(reader, review_id)))


def of_movie(transaction: Transaction, movie_id: int, asked: commands.ReviewPage) -> dict[str, Any]:
    with transaction.reading() as reader:
        known(movie_storage.get(reader, movie_id))
        rows, next_cursor = storage.of_movie(reader, movie_id, asked)
    return {"data": [presentation.review(row) for row in rows], "next_cursor": next_cursor}


def of_user(transaction: Transaction, user_id: int, asked: commands.Page) -> dict[str, Any]:
    with transaction.reading() as reader:
        rows, next_cursor = storage.of_user(reader, user_id, asked)
    return {"data": [presentation.review(row) for row in rows], "next_cursor": next_cursor}


def count_of_user(transaction: Transaction, user_id: int) -> int:
    with transaction.reading() as reader:
        return storage.count_of_user(reader, user_id)


def ratings(transaction: Transaction, movie_id: int) -> dict[str, int]:
    with transaction.reading() as reader:
        known(movie_storage.get(reader, movie_id))
        counts = storage.histogram(reader, movie_id)
    return {str(rating): counts.get(rating, 0) for rating in range(1, 11)}


def like(transaction: Transaction, review_id: int, actor: Actor, write: Write, *, wanted: bool) -> int:
    """The review's likes after the actor's is there (`wanted`) or gone."""
    with transaction() as session:
        if earlier := write.claim(session):
            return int(earlier.answer)
        people.known(session, actor)
        review = _known(storage.get(session, review_id, lock=True))
        if review.user_id == actor.id:
            raise Forbidden("You may not like your own review")
        change = storage.like if wanted else storage.unlike
        return write.settle(session, change(session, review_id, actor.id))


def mend_popularity(transaction: Transaction, cache: Cache) -> int:
    """Sum up anew what some films' popularity cannot be: reviews of a time when the database's clock was
    wrong count for nothing while they lie ahead, and for what they are afterwards. Answers how many.
    """
    now = transaction.now()
    with transaction.reading() as reader:
        ids = movie_storage.misjudged(reader, now)
    for movie_id in ids:
        with transaction() as session:
            if movie_storage.lock(session, movie_id) is not None:
                movie_storage.save_popularity(session, movie_id, storage.popularity(session, movie_id, now))
    if ids:
        cache.invalidate()
        _log.warning("the popularity of %d films was of a wrong clock, and is summed up anew", len(ids))
    return len(ids)


def _counted(session: Session, movie: Row[Any], now: datetime, but: int = 0) -> Aggregate:
    """What the reviews of a locked movie (`but` one) add up to, without those of a clock that was wrong."""
    before = aggregate(movie)
    if domain.is_possible(before.popularity, before.review_count, now):
        return before
    return replace(before, popularity=storage.popularity(session, movie.id, now, but=but))


def _locked(session: Session, review_id: int) -> tuple[Row[Any], Row[Any]]:
    """The review's movie, locked, and the review as it is under that lock."""
    review = _known(storage.get(session, review_id))
    movie = movie_storage.lock(session, review.movie_id)
    review = _known(storage.get(session, review_id, lock=True))
    return known(movie), review


def _known(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise NotFound(NOT_FOUND)
    return row
