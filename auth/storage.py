"""Auth's tables and queries."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    FetchedValue,
    Identity,
    MetaData,
    Row,
    Table,
    Text,
    Uuid,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from auth import names
from auth.names import Keys
from broker import addresses
from broker.database import Reader
from broker.tokens import KEPT_REVOKED_SECONDS

METADATA = MetaData()
Moment = DateTime(timezone=True)

USERS = Table(
    "users",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("uid", Uuid, FetchedValue()),  # unique; no other account ever has it, whatever is restored
    Column("username", Text, nullable=False),  # unique
    Column("email", Text, nullable=False),  # unique
    # See `names`; unique. Null where an account of before there were keys shares it with another one.
    Column("username_key", Text),
    Column("username_skeleton", Text),
    Column("email_key", Text),
    Column("password_hash", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("version", BigInteger, nullable=False),  # ascending, carried by the user's events
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("renamed_at", Moment),  # since then tokens of before bear a name that is not the user's
)

KEYS = ("username_key", "username_skeleton", "email_key")

# The accounts that lack a key of `users`, and the key, which another account has.
ACCOUNT_COLLISIONS = Table(
    "account_collisions",
    METADATA,
    Column("user_id", BigInteger, primary_key=True),
    Column("field", Text, primary_key=True),  # one of KEYS
    Column("key", Text, nullable=False),
)

# Outlives its user, so that a deleted account's tokens stay refused until they expire.
SESSIONS = Table(
    "sessions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("user_id", BigInteger, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("revoked_at", Moment),
)

SIGNING_KEYS = Table(
    "signing_keys",
    METADATA,
    Column("kid", Text, primary_key=True),
    Column("pem", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("retired_at", Moment),
)

KEPT_REVOKED = timedelta(seconds=KEPT_REVOKED_SECONDS)
LATEST = datetime(9999, 1, 1, tzinfo=UTC)


def user_by_id(reader: Reader, user_id: int, *, lock: bool = False) -> Row[Any] | None:
    query = select(USERS).where(USERS.c.id == user_id)
    return reader.execute(query.with_for_update() if lock else query).one_or_none()


def user_by_email(reader: Reader, email: str) -> Row[Any] | None:
    """Who has this very address or, failing that, its key."""
    key = addresses.email_key(email)
    exactly = USERS.c.email == email
    query = select(USERS).where(exactly if key is None else exactly | (USERS.c.email_key == key))
    found = reader.execute(query).all()
    return next((user for user in found if user.email == email), found[0] if found else None)


def accounts(reader: Reader, ids: Collection[int]) -> Sequence[Any]:
    """`id`, `uid`, `username`, `role` and `version` of those users that there are."""
    columns = (USERS.c.id, USERS.c.uid, USERS.c.username, USERS.c.role, USERS.c.version)
    return reader.execute(select(*columns).where(USERS.c.id.in_(ids))).all()


def users_by_username(session: Session, username: str) -> Sequence[Row[Any]]:
    """All who have this name or its key, locked: more than one only among accounts that collide."""
    key = names.username_key(username)
    colliding = select(ACCOUNT_COLLISIONS.c.user_id).where(
        ACCOUNT_COLLISIONS.c.key == key, ACCOUNT_COLLISIONS.c.field == "username_key"
    )
    query = select(USERS).where(
        (USERS.c.username == username) | (USERS.c.username_key == key) | USERS.c.id.in_(colliding)
    )
    return session.execute(query.order_by(USERS.c.id).with_for_update()).all()


def taken(session: Session, keys: Keys, but: int | None = None) -> str | None:
    """The field of KEYS in which another account than `but` has what `keys` say, if any has."""
    wanted = {field: key for field in KEYS if (key := getattr(keys, field)) is not None}
    for field, key in wanted.items():
        holders = select(USERS.c.id).where(USERS.c[field] == key)
        colliding = select(ACCOUNT_COLLISIONS.c.user_id).where(
            ACCOUNT_COLLISIONS.c.key == key, ACCOUNT_COLLISIONS.c.field == field
        )
        if any(row != but for row in session.scalars(holders.union(colliding).limit(3))):
            return field
    return None


def add_user(session: Session, username: str, email: str, password_hash: str, now: datetime) -> Row[Any]:
    values = {"username": username, "email": email, "password_hash": password_hash}
    keys = asdict(names.keys(username, email))
    statement = insert(USERS).values(**values, **keys, role="user", version=1, created_at=now, updated_at=now)
    return session.execute(statement.returning(USERS)).one()


def change_user(session: Session, user_id: int, changes: dict[str, Any], now: datetime) -> Row[Any]:
    """Change columns of a locked user; the keys of a new name or address with it."""
    given = asdict(names.keys(changes.get("username"), changes.get("email")))
    keys = {field: key for field, key in given.items() if key is not None}
    if keys:
        session.execute(
            delete(ACCOUNT_COLLISIONS).where(
                ACCOUNT_COLLISIONS.c.user_id == user_id, ACCOUNT_COLLISIONS.c.field.in_(keys)
            )
        )
    if "username" in changes:
        keys = {**keys, "renamed_at": now}
    statement = (
        update(USERS)
        .where(USERS.c.id == user_id)
        .values(
            **changes, **keys, version=USERS.c.version + 1, updated_at=func.greatest(USERS.c.created_at, now)
        )
        .returning(USERS)
    )
    return session.execute(statement).one()


def count_versions(session: Session, user_id: int, events: int) -> None:
    """So many more events of a locked user have a version of their own."""
    session.execute(update(USERS).where(USERS.c.id == user_id).values(version=USERS.c.version + events))


def remove_user(session: Session, user_id: int) -> None:
    session.execute(delete(USERS).where(USERS.c.id == user_id))


def staff(session: Session) -> Sequence[Any]:
    """`id` and `role` of everyone whose role is more than `user`."""
    return session.execute(select(USERS.c.id, USERS.c.role).where(USERS.c.role != "user")).all()


def renamed(session: Session, since: datetime) -> Sequence[Any]:
    """`id`, `username` and `version` of everyone who has another name since then."""
    columns = (USERS.c.id, USERS.c.username, USERS.c.version)
    return session.execute(select(*columns).where(USERS.c.renamed_at > since)).all()


def collisions(session: Session, limit: int, of: Collection[int] | None = None) -> list[dict[str, Any]]:
    """What accounts (those in `of`, or all) share with another, which has the key.

    `{"user_id", "username", "field" (of KEYS), "other_id", "other_username"}` each; the last two are None
    where the other one is gone.
    """
    other = USERS.alias("other")
    has_it = or_(
        *(
            (ACCOUNT_COLLISIONS.c.field == field) & (other.c[field] == ACCOUNT_COLLISIONS.c.key)
            for field in KEYS
        )
    )
    query = (
        select(
            USERS.c.id.label("user_id"),
            USERS.c.username,
            ACCOUNT_COLLISIONS.c.field,
            other.c.id.label("other_id"),
            other.c.username.label("other_username"),
        )
        .select_from(ACCOUNT_COLLISIONS)
        .join(USERS, USERS.c.id == ACCOUNT_COLLISIONS.c.user_id)
        .outerjoin(other, has_it)
    )
    if of is not None:
        query = query.where(USERS.c.id.in_(of))
    rows = session.execute(query.order_by(USERS.c.id, ACCOUNT_COLLISIONS.c.field).limit(limit))
    return [dict(row) for row in rows.mappings()]


def add_session(session: Session, session_id: str, user_id: int, expires_at: datetime) -> None:
    session.execute(insert(SESSIONS).values(id=session_id, user_id=user_id, expires_at=expires_at))


def is_live(session: Session, session_id: str, now: datetime) -> bool:
    """Whether a session has neither been revoked nor come to its end."""
    live = SESSIONS.c.revoked_at.is_(None) & (SESSIONS.c.expires_at > now)
    return session.execute(select(SESSIONS.c.id).where(SESSIONS.c.id == session_id, live)).first() is not None


def revoke_session(session: Session, session_id: str, now: datetime) -> Row[Any] | None:
    """The session as revoked by this very call; None where it is unknown or was revoked before."""
    live = (SESSIONS.c.id == session_id) & SESSIONS.c.revoked_at.is_(None)
    return session.execute(
        update(SESSIONS).where(live).values(revoked_at=now).returning(SESSIONS)
    ).one_or_none()


def revoke_sessions_of(
    session: Session, user_id: int, now: datetime, *, but: str | None = None
) -> Sequence[Row[Any]]:
    """Revoke every live session of a user, except `but`."""
    live = (SESSIONS.c.user_id == user_id) & SESSIONS.c.revoked_at.is_(None) & (SESSIONS.c.expires_at > now)
    if but is not None:
        live &= SESSIONS.c.id != but
    return session.execute(update(SESSIONS).where(live).values(revoked_at=now).returning(SESSIONS)).all()


def revoked_sessions(reader: Reader, now: datetime, of: Collection[str] | None = None) -> Sequence[Row[Any]]:
    """The sessions (those in `of`, or all) whose tokens might still be taken somewhere, had they not been
    revoked: `id`, `user_id`, and `ended_at` in whole seconds since 1970.
    """
    # PostgreSQL's moments go further than ours.
    until = func.floor(func.extract("epoch", func.least(SESSIONS.c.expires_at, LATEST)))
    query = select(SESSIONS.c.id, SESSIONS.c.user_id, cast(until, BigInteger).label("ended_at"))
    query = query.where(SESSIONS.c.revoked_at.is_not(None), SESSIONS.c.expires_at > now - KEPT_REVOKED)
    return reader.execute(query if of is None else query.where(SESSIONS.c.id.in_(of))).all()


def forget_expired_sessions(session: Session, now: datetime) -> None:
    session.execute(delete(SESSIONS).where(SESSIONS.c.expires_at < now - KEPT_REVOKED))
