"""Queries of movies and of what their reviews add up to."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Row,
    Select,
    Text,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, array
from sqlalchemy.orm import Session

from broker.database import Reader
from movies import domain
from movies.commands import Page, Search
from movies.domain import Aggregate
from movies.storage.paging import Sort, bounded, page
from movies.storage.tables import MOVIE_STATS, MOVIES

_SHOWN = [column for column in MOVIES.c if column.name not in ("trigrams", "document", "genres")]
# A popularity that JSON can carry, for rows that have none.
_FLOOR = -1e300
# How many films, by shared trigrams, are looked at word by word when a search is misspelt.
CANDIDATES = 50


def _select() -> Select[Any]:
    stats = [column for column in MOVIE_STATS.c if column.name != "movie_id"]
    return select(*_SHOWN, *stats).join(MOVIE_STATS, MOVIE_STATS.c.movie_id == MOVIES.c.id)


# Made once: building it anew was a fifth of what showing a movie costs.
_BY_ID = _select().where(MOVIES.c.id == bindparam("movie_id"))
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
    if "title" in fields or "director" in fields:
        # The two together make the trigrams.
        fields = {"title": movie.title, "director": movie.director, **fields}
    values = _columns(fields)
    session.execute(update(MOVIES).where(MOVIES.c.id == movie.id).values(**values, updated_at=now))


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
    return page(reader, _select(), MOVIES.c.id, Sort("id"), asked)


def popular(reader: Reader, limit: int) -> Sequence[Row[Any]]:
    """What people review now, then what is rated best; as many as fit onto a page."""
    query = _select().order_by(
        MOVIE_STATS.c.popularity.desc(), MOVIE_STATS.c.rating.desc().nulls_last(), MOVIES.c.id
    )
    return bounded(reader, query, limit)[0]


def search(reader: Reader, asked: Search) -> tuple[Sequence[Row[Any]], str | None]:
    """A page of the movies that fit every filter, and the cursor of the next."""
    query = _select().where(*_filters(asked))
    relevance: ColumnElement[float] = literal(0.0)
    if asked.q:
        matches, relevance = _full_text(reader, asked.q)
        query = query.where(matches)
    return page(reader, query, MOVIES.c.id, _sort(asked.order, relevance), asked)


def _filters(asked: Search) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = []
    if asked.title:
        filters.append(MOVIES.c.title.ilike(_part(asked.title), escape="\\"))
    if asked.director:
        filters.append(MOVIES.c.director.ilike(_part(asked.director), escape="\\"))
    if asked.genre:
        filters.append(MOVIES.c.genres.contains([asked.genre.casefold()]))
    if asked.kind:
        filters.append(MOVIES.c.kind == asked.kind)
    if asked.min_rating is not None:
        filters.append(MOVIE_STATS.c.rating >= asked.min_rating)
    if asked.max_rating is not None:
        filters.append(MOVIE_STATS.c.rating <= asked.max_rating)
    if asked.year_from is not None:
        filters.append(MOVIES.c.release_date >= date(asked.year_from, 1, 1))
    if asked.year_to is not None:
        filters.append(MOVIES.c.release_date <= date(asked.year_to, 12, 31))
    return filters


def _full_text(reader: Reader, words: str) -> tuple[ColumnElement[bool], ColumnElement[float]]:
    """What `words` match, and how well: whole words or, failing that, words spelt alike."""
    query = func.websearch_to_tsquery(text("'simple'"), words).op("||")(
        func.websearch_to_tsquery(text("'english'"), words)
    )
    matches = MOVIES.c.document.op("@@")(query)
    if reader.execute(select(MOVIES.c.id).where(matches).limit(1)).one_or_none():
        return matches, func.ts_rank(MOVIES.c.document, query)
    alike = array(_spelt_alike(reader, words), type_=BigInteger)
    return MOVIES.c.id == func.any(alike), -func.coalesce(func.array_position(alike, MOVIES.c.id), 0)


def _spelt_alike(reader: Reader, words: str) -> list[int]:
    """The ids of the films whose title and director are spelt most like `words`, the likest first."""
    wanted = bindparam("trigrams", domain.trigrams(words), ARRAY(Text))
    each = func.unnest(MOVIES.c.trigrams).table_valued("trigram").render_derived("each")
    # Correlated: the trigrams are those of the movie at hand.
    common = (
        select(func.count())
        .select_from(each)
        .where(each.c.trigram == func.any(wanted))
        .correlate(MOVIES)
        .scalar_subquery()
    )
    query = select(MOVIES.c.id, MOVIES.c.title, MOVIES.c.director).where(MOVIES.c.trigrams.overlap(wanted))
    candidates = reader.execute(query.order_by(common.desc(), MOVIES.c.id).limit(CANDIDATES)).all()
    likeness = {row.id: domain.likeness(words, f"{row.title} {row.director}") for row in candidates}
    alike = [row_id for row_id, share in likeness.items() if share >= domain.ALIKE]
    return sorted(alike, key=lambda row_id: (-likeness[row_id], row_id))


def _sort(order: str, relevance: ColumnElement[float]) -> Sort:
    day = cast(MOVIES.c.release_date, Text)
    sorts = {
        "relevance": Sort(order, cast(relevance, Double), descending=True),
        "rating": Sort(order, func.coalesce(MOVIE_STATS.c.rating, -1.0), descending=True),
        "popular": Sort(order, func.greatest(MOVIE_STATS.c.popularity, _FLOOR), descending=True),
        "latest": Sort(order, func.coalesce(day, ""), descending=True),
        "earliest": Sort(order, func.coalesce(day, "9999-12-31")),
        "title": Sort(order, func.lower(MOVIES.c.title)),
    }
    return sorts[order]


def _part(words: str) -> str:
    """A pattern for ILIKE that matches `words` anywhere, literally."""
    for special in ("\\", "%", "_"):
        words = words.replace(special, "\\" + special)
    return f"%{words}%"


def _columns(fields: dict[str, Any]) -> dict[str, Any]:
    """A movie's fields as REST names them, as columns; what is derived from them included."""
    columns = {("prior" if name == "rating" else name): value for name, value in fields.items()}
    if "genre" in fields:
        columns["genres"] = [member.casefold() for member in domain.genres(fields["genre"])]
    if "title" in fields:
        columns["trigrams"] = domain.trigrams(f"{fields['title']} {fields['director']}")
    return columns
