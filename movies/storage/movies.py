"""Queries of movies and of what their reviews add up to."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, Text, bindparam, cast, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from broker.clock import AHEAD
from broker.database import Reader
from movies import domain
from movies.commands import Page
from movies.domain import Aggregate
from movies.storage.keys import LEXEMES, SOURCES, keys
from movies.storage.paging import Sort, bounded, page
from movies.storage.tables import MOVIE_STATS, MOVIES, REVIEWS

MOST_MISJUDGED = 200  # that are looked for at once

# All that the keys are made from is shown, and none of the keys.
_NOT_SHOWN = (*keys(**dict.fromkeys(SOURCES, "")), "keyed_at")
_SHOWN = [column for column in MOVIES.c if column.name not in _NOT_SHOWN]


def shown() -> Select[Any]:
    """Movies as `presentation.movie` takes them."""
    stats = [column for column in MOVIE_STATS.c if column.name != "movie_id"]
    return select(*_SHOWN, *stats).join(MOVIE_STATS, MOVIE_STATS.c.movie_id == MOVIES.c.id)


# Made once: building it anew was a fifth of what showing a movie costs.
_BY_ID = shown().where(MOVIES.c.id == bindparam("movie_id"))
_LOCKED_BY_ID = _BY_ID.with_for_update(of=MOVIE_STATS)


def get(reader: Reader, movie_id: int) -> Row[Any] | None:
    return reader.execute(_BY_ID, {"movie_id": movie_id}).one_or_none()


def lock(session: Session, movie_id: int) -> Row[Any] | None:
    """The movie, with the row locked under which its versions are given out."""
    return session.execute(_LOCKED_BY_ID, {"movie_id": movie_id}).one_or_none()


def add(session: Session, fields: dict[str, Any], created_by: int | None, now: datetime) -> Row[Any]:
    """A movie from the fields of `commands.CreateMovie`; its first version is 1."""
    values = _columns(fields)
    statement = insert(MOVIES).values(**values, created_by=created_by, created_at=now, updated_at=now)
    movie_id = session.scalars(statement.returning(MOVIES.c.id)).one()
    session.execute(
        insert(MOVIE_STATS).values(
            movie_id=movie_id,
            version=1,
            review_count=0,
            rating_sum=0,
            popularity=domain.NEVER,
            rating=values["prior"],
        )
    )
    return session.execute(_BY_ID, {"movie_id": movie_id}).one()


def change(session: Session, movie: Row[Any], fields: dict[str, Any], now: datetime) -> None:
    """Change a locked movie. Its rating is for `save_aggregate` to bring up to date."""
    if not fields.keys().isdisjoint(SOURCES):
        fields = {**{name: getattr(movie, name) for name in SOURCES}, **fields}
    values = _columns(fields)
    session.execute(
        update(MOVIES)
        .where(MOVIES.c.id == movie.id)
        .values(**values, updated_at=func.greatest(MOVIES.c.created_at, now))
    )


def remove(session: Session, movie_id: int) -> None:
    session.execute(delete(MOVIES).where(MOVIES.c.id == movie_id))


def is_empty(session: Session) -> bool:
    return session.execute(select(MOVIES.c.id).limit(1)).one_or_none() is None


def disown(session: Session, user_id: int) -> None:
    """Movies of a deleted account belong to nobody from now on."""
    session.execute(update(MOVIES).where(MOVIES.c.created_by == user_id).values(created_by=None))


def save_aggregate(session: Session, movie_id: int, prior: float | None, aggregate: Aggregate) -> int:
    """Store what the reviews of a locked movie add up to now, and its rating; answers its next version."""
    mean = None
    if prior is None and aggregate.review_count:
        mean = _catalogue_mean(session, movie_id, aggregate)
    rating = domain.bayesian_rating(prior, aggregate.review_count, aggregate.rating_sum, mean)
    statement = (
        update(MOVIE_STATS)
        .where(MOVIE_STATS.c.movie_id == movie_id)
        .values(
            version=MOVIE_STATS.c.version + 1,
            review_count=aggregate.review_count,
            rating_sum=aggregate.rating_sum,
            popularity=aggregate.popularity,
            rating=rating,
        )
        .returning(MOVIE_STATS.c.version)
    )
    return session.scalars(statement).one()


def save_popularity(session: Session, movie_id: int, popularity: float) -> None:
    """Store that of a locked movie."""
    mine = MOVIE_STATS.c.movie_id == movie_id
    session.execute(update(MOVIE_STATS).where(mine).values(popularity=popularity))


def misjudged(reader: Reader, now: datetime) -> Sequence[int]:
    """Movies, MOST_MISJUDGED at most, whose popularity is more than their reviews can have made it or, of
    those reviewed last, less than one review has.
    """
    count, total = func.greatest(MOVIE_STATS.c.review_count, 1), MOVIE_STATS.c.popularity
    most = domain.age(now + AHEAD) + func.ln(count) / math.log(2) + domain.ROUNDING
    too_much = select(MOVIE_STATS.c.movie_id).where(total > most).limit(MOST_MISJUDGED)
    last = select(REVIEWS.c.movie_id, REVIEWS.c.created_at).order_by(REVIEWS.c.id.desc())
    reviewed = last.limit(MOST_MISJUDGED).subquery()
    since = func.extract("epoch", reviewed.c.created_at) - domain.LANDMARK.timestamp()
    too_little = (
        select(MOVIE_STATS.c.movie_id)
        .join(reviewed, reviewed.c.movie_id == MOVIE_STATS.c.movie_id)
        .where(
            reviewed.c.created_at <= now,
            total < since / domain.HALF_LIFE.total_seconds() - domain.ROUNDING,
        )
    )
    return reader.scalars(too_much.union(too_little).limit(MOST_MISJUDGED)).all()


def _catalogue_mean(session: Session, movie_id: int, aggregate: Aggregate) -> float | None:
    """The catalogue's mean, in which this movie (one without a prior) counts as `aggregate` says."""
    others = select(
        func.count(MOVIES.c.prior),
        func.coalesce(func.sum(MOVIES.c.prior), 0.0),
        func.coalesce(func.sum(MOVIE_STATS.c.review_count), 0),
        func.coalesce(func.sum(MOVIE_STATS.c.rating_sum), 0.0),
    ).join(MOVIE_STATS, MOVIE_STATS.c.movie_id == MOVIES.c.id)
    priors, prior_sum, reviews, rating_sum = session.execute(others.where(MOVIES.c.id != movie_id)).one()
    return domain.catalogue_mean(
        priors, prior_sum, reviews + aggregate.review_count, rating_sum + aggregate.rating_sum
    )


def newest_last(reader: Reader, asked: Page) -> tuple[Sequence[Row[Any]], str | None]:
    """A page of all movies, and the cursor of the next."""
    return page(reader, shown(), MOVIES.c.id, Sort("id"), asked)


def popular(reader: Reader, limit: int) -> Sequence[Row[Any]]:
    """What people review now, then what is rated best; as many as fit onto a page."""
    query = shown().order_by(
        MOVIE_STATS.c.popularity.desc(), MOVIE_STATS.c.rating.desc().nulls_last(), MOVIES.c.id
    )
    return bounded(reader, query, limit)[0]


def _columns(fields: dict[str, Any]) -> dict[str, Any]:
    """A movie's fields as REST names them, as columns; the keys it is found by included, if they change."""
    columns = {("prior" if name == "rating" else name): value for name, value in fields.items()}
    if not fields.keys() >= set(SOURCES):
        return columns
    found_by: dict[str, Any] = keys(**{name: fields[name] for name in SOURCES})
    for name in LEXEMES:
        found_by[name] = func.array_to_tsvector(cast(found_by[name], ARRAY(Text)))
    return columns | found_by | {"keyed_at": func.clock_timestamp()}
