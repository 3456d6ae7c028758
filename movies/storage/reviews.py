"""Queries of reviews, likes and reviewers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from broker.clock import AHEAD
from broker.database import Reader
from broker.tokens import Account
from movies import domain
from movies.commands import Page, ReviewPage
from movies.domain import Actor
from movies.storage.paging import Sort, page
from movies.storage.tables import REVIEW_LIKES, REVIEWERS, REVIEWS


def _select() -> Select[Any]:
    return select(REVIEWS, REVIEWERS.c.username).outerjoin(
        REVIEWERS, REVIEWERS.c.user_id == REVIEWS.c.user_id
    )


def get(reader: Reader, review_id: int, *, lock: bool = False) -> Row[Any] | None:
    query = _select().where(REVIEWS.c.id == review_id)
    return reader.execute(query.with_for_update(of=REVIEWS) if lock else query).one_or_none()


def add(
    session: Session, movie_id: int, actor: Actor, fields: dict[str, Any], now: datetime
) -> Row[Any] | None:
    """A review; None where the actor has one of this movie already."""
    statement = (
        insert(REVIEWS)
        .values(movie_id=movie_id, user_id=actor.id, **fields, likes=0, created_at=now, updated_at=now)
        .on_conflict_do_nothing(constraint="reviews_one_each")
        .returning(REVIEWS.c.id)
    )
    review_id = session.scalars(statement).one_or_none()
    return None if review_id is None else get(session, review_id)


def change(session: Session, review_id: int, fields: dict[str, Any], now: datetime) -> Row[Any]:
    session.execute(
        update(REVIEWS)
        .where(REVIEWS.c.id == review_id)
        .values(**fields, updated_at=func.greatest(REVIEWS.c.created_at, now))
    )
    return session.execute(_select().where(REVIEWS.c.id == review_id)).one()


def remove(session: Session, review_id: int) -> None:
    session.execute(delete(REVIEWS).where(REVIEWS.c.id == review_id))


def popularity(session: Session, movie_id: int, now: datetime, but: int = 0) -> float:
    """What the reviews of a movie, `but` one, make its popularity, summed up anew."""
    written = (REVIEWS.c.movie_id == movie_id) & (REVIEWS.c.created_at <= now + AHEAD) & (REVIEWS.c.id != but)
    return domain.popularity(session.scalars(select(REVIEWS.c.created_at).where(written)))


def of_movie(reader: Reader, movie_id: int, asked: ReviewPage) -> tuple[Sequence[Row[Any]], str | None]:
    """A page of a movie's reviews, and the cursor of the next."""
    query = _select().where(REVIEWS.c.movie_id == movie_id)
    sorts = {
        "newest": Sort("newest", descending=True),
        "highest": Sort("highest", REVIEWS.c.rating, descending=True),
        "lowest": Sort("lowest", REVIEWS.c.rating),
        "likes": Sort("likes", REVIEWS.c.likes, descending=True),
    }
    return page(reader, query, REVIEWS.c.id, sorts[asked.sort], asked)


def of_user(reader: Reader, user_id: int, asked: Page) -> tuple[Sequence[Row[Any]], str | None]:
    """A page of a user's reviews, the newest first, and the cursor of the next."""
    query = _select().where(REVIEWS.c.user_id == user_id)
    return page(reader, query, REVIEWS.c.id, Sort("newest", descending=True), asked)


def count_of_user(reader: Reader, user_id: int) -> int:
    query = select(func.count()).select_from(REVIEWS).where(REVIEWS.c.user_id == user_id)
    return reader.scalars(query).one()


def histogram(reader: Reader, movie_id: int) -> dict[int, int]:
    """How many reviews gave each rating, half points rounded up; only ratings that were given."""
    star = func.floor(REVIEWS.c.rating + 0.5)
    query = select(star, func.count()).where(REVIEWS.c.movie_id == movie_id).group_by(star)
    return {int(rating): count for rating, count in reader.execute(query)}


def like(session: Session, review_id: int, user_id: int) -> int:
    """Like a locked review, once however often; answers its likes."""
    statement = insert(REVIEW_LIKES).values(review_id=review_id, user_id=user_id).on_conflict_do_nothing()
    return _count_likes(session, review_id, session.execute(statement.returning(REVIEW_LIKES)).all(), +1)


def unlike(session: Session, review_id: int, user_id: int) -> int:
    """Take a like back, if there is one; answers the likes of the (locked) review."""
    mine = (REVIEW_LIKES.c.review_id == review_id) & (REVIEW_LIKES.c.user_id == user_id)
    gone = session.execute(delete(REVIEW_LIKES).where(mine).returning(REVIEW_LIKES)).all()
    return _count_likes(session, review_id, gone, -1)


def _count_likes(session: Session, review_id: int, changed: Sequence[Row[Any]], step: int) -> int:
    likes = REVIEWS.c.likes + step * len(changed)
    statement = update(REVIEWS).where(REVIEWS.c.id == review_id).values(likes=likes)
    return session.scalars(statement.returning(REVIEWS.c.likes)).one()


def hold_reviewer(session: Session, actor: Actor) -> bool:
    """Whether auth has said that there is such an account; it stays until the transaction ends."""
    known = (REVIEWERS.c.user_id == actor.id) & (REVIEWERS.c.version > 0)
    if actor.uid is not None:
        known &= REVIEWERS.c.uid == UUID(actor.uid)
    query = select(REVIEWERS.c.user_id).where(known)
    return session.execute(query.with_for_update(key_share=True, read=True)).first() is not None


def know_reviewer(session: Session, account: Account) -> int | None:
    """Remember a user's name; where one of a later version is known its version, and nothing has changed."""
    uid = account.uid and UUID(account.uid)
    values = {"username": account.username, "version": account.version}
    statement = insert(REVIEWERS).values(user_id=account.id, uid=uid, **values)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["user_id"], set_=values, where=REVIEWERS.c.version < account.version
        )
    )
    if uid is not None:
        unknown = (REVIEWERS.c.user_id == account.id) & REVIEWERS.c.uid.is_(None)
        session.execute(update(REVIEWERS).where(unknown).values(uid=uid))
    later = (REVIEWERS.c.user_id == account.id) & (REVIEWERS.c.version > account.version)
    return session.scalar(select(REVIEWERS.c.version).where(later))


def is_another(reader: Reader, account: Account) -> bool:
    """Whether somebody else was known by the account's id."""
    if account.uid is None:
        return False
    other = (REVIEWERS.c.user_id == account.id) & (REVIEWERS.c.uid != UUID(account.uid))
    return reader.execute(select(REVIEWERS.c.user_id).where(other)).first() is not None


def reviewers_without_uid(reader: Reader, most: int) -> Sequence[Row[Any]]:
    """Accounts whose uid auth has not said yet."""
    query = select(REVIEWERS).where(REVIEWERS.c.uid.is_(None)).order_by(REVIEWERS.c.user_id)
    return reader.execute(query.limit(most)).all()


def reviewers_after(reader: Reader, user_id: int, most: int) -> Sequence[Row[Any]]:
    """Accounts by ascending id, from the one after `user_id` on."""
    query = select(REVIEWERS).where(REVIEWERS.c.user_id > user_id).order_by(REVIEWERS.c.user_id)
    return reader.execute(query.limit(most)).all()


def correct_reviewer(session: Session, account: Account, version: int) -> None:
    """Put what auth says in the place of a name that was kept under a `version` that there never was."""
    theirs = (REVIEWERS.c.user_id == account.id) & (REVIEWERS.c.version == version)
    values = {"username": account.username, "version": account.version}
    session.execute(update(REVIEWERS).where(theirs).values(values))


def unsign(session: Session, user_id: int) -> None:
    """A deleted account's reviews belong to nobody from now on, and its likes are taken back."""
    # First of all: it waits for those who hold it, so that what they write is there for what follows.
    session.execute(delete(REVIEWERS).where(REVIEWERS.c.user_id == user_id))
    session.execute(update(REVIEWS).where(REVIEWS.c.user_id == user_id).values(user_id=None))
    liked = delete(REVIEW_LIKES).where(REVIEW_LIKES.c.user_id == user_id).returning(REVIEW_LIKES.c.review_id)
    taken_back = session.scalars(liked).all()
    session.execute(update(REVIEWS).where(REVIEWS.c.id.in_(taken_back)).values(likes=REVIEWS.c.likes - 1))
