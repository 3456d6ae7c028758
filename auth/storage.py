"""Auth's tables and queries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    MetaData,
    Row,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from auth.domain import SigningKey
from broker.database import Reader

METADATA = MetaData()
Moment = DateTime(timezone=True)

USERS = Table(
    "users",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("username", Text, nullable=False),  # unique whatever its case
    Column("email", Text, nullable=False),  # unique whatever its case
    Column("password_hash", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("version", BigInteger, nullable=False),  # ascending, carried by the user's events
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
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

KEY_LOCK = 0x5EC1


def user_by_id(reader: Reader, user_id: int, *, lock: bool = False) -> Row[Any] | None:
    query = select(USERS).where(USERS.c.id == user_id)
    return reader.execute(query.with_for_update() if lock else query).one_or_none()


def user_by_email(session: Session, email: str) -> Row[Any] | None:
    return session.execute(select(USERS).where(func.lower(USERS.c.email) == email.lower())).one_or_none()


def user_by_username(session: Session, username: str, *, lock: bool = False) -> Row[Any] | None:
    query = select(USERS).where(func.lower(USERS.c.username) == username.lower())
    return session.execute(query.with_for_update() if lock else query).one_or_none()


def add_user(session: Session, username: str, email: str, password_hash: str, now: datetime) -> Row[Any]:
    values = {"username": username, "email": email, "password_hash": password_hash}
    statement = insert(USERS).values(**values, role="user", version=1, created_at=now, updated_at=now)
    return session.execute(statement.returning(USERS)).one()


def change_user(session: Session, user_id: int, changes: dict[str, Any], now: datetime) -> Row[Any]:
    statement = (
        update(USERS)
        .where(USERS.c.id == user_id)
        .values(**changes, version=USERS.c.version + 1, updated_at=now)
        .returning(USERS)
    )
    return session.execute(statement).one()


def remove_user(session: Session, user_id: int) -> None:
    session.execute(delete(USERS).where(USERS.c.id == user_id))


def staff(session: Session) -> Sequence[Row[Any]]:
    """Everyone whose role is more than `user`."""
    return session.execute(select(USERS).where(USERS.c.role != "user")).all()


def add_session(session: Session, session_id: str, user_id: int, expires_at: datetime) -> None:
    session.execute(insert(SESSIONS).values(id=session_id, user_id=user_id, expires_at=expires_at))


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


def revoked_sessions(session: Session, now: datetime) -> Sequence[Row[Any]]:
    """The sessions whose tokens would still be good, had they not been revoked."""
    query = select(SESSIONS).where(SESSIONS.c.revoked_at.is_not(None), SESSIONS.c.expires_at > now)
    return session.execute(query).all()


def forget_expired_sessions(session: Session, now: datetime) -> None:
    session.execute(delete(SESSIONS).where(SESSIONS.c.expires_at < now))


def lock_keys(session: Session) -> None:
    """Let no other transaction change the signing keys until this one ends."""
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": KEY_LOCK})


def current_key(session: Session) -> SigningKey | None:
    query = select(SIGNING_KEYS).where(SIGNING_KEYS.c.retired_at.is_(None))
    row = session.execute(query.order_by(SIGNING_KEYS.c.created_at.desc()).limit(1)).one_or_none()
    return SigningKey(row.kid, row.pem) if row else None


def published_keys(session: Session, retired_after: datetime) -> list[SigningKey]:
    """The current key and those retired later than `retired_after`."""
    query = select(SIGNING_KEYS).where(
        SIGNING_KEYS.c.retired_at.is_(None) | (SIGNING_KEYS.c.retired_at > retired_after)
    )
    rows = session.execute(query.order_by(SIGNING_KEYS.c.created_at)).all()
    return [SigningKey(row.kid, row.pem) for row in rows]


def add_key(session: Session, key: SigningKey, now: datetime) -> None:
    session.execute(insert(SIGNING_KEYS).values(kid=key.kid, pem=key.pem, created_at=now))


def retire_keys(session: Session, now: datetime) -> None:
    live = SIGNING_KEYS.c.retired_at.is_(None)
    session.execute(update(SIGNING_KEYS).where(live).values(retired_at=now))
