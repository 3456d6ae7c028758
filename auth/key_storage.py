"""Queries of the signing keys. None of them is ever deleted: a secret that is lost may be found again."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Select, func, insert, or_, select, text, update
from sqlalchemy.orm import Session

from auth.domain import PUBLIC_BEGINS, SigningKey
from auth.storage import SIGNING_KEYS
from broker.database import Reader

KEY_LOCK = 0x5EC1
MOST_KEYS = 100  # that are looked at to sign and to check tokens
MOST_REWRITTEN = 1000  # at once

_LIVE = SIGNING_KEYS.c.retired_at.is_(None)
_NEWEST_FIRST = select(SIGNING_KEYS.c.kid, SIGNING_KEYS.c.pem).order_by(SIGNING_KEYS.c.created_at.desc())


def lock_keys(session: Session) -> None:
    """Let no other transaction change the signing keys until this one ends."""
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": KEY_LOCK})


def live_keys(reader: Reader) -> list[SigningKey]:
    """Those that may sign, the newest first, MOST_KEYS at most."""
    return _read(reader, _NEWEST_FIRST.where(_LIVE).limit(MOST_KEYS))


def live_since(reader: Reader, moment: datetime) -> set[str]:
    """The ids of those that may sign and were there then."""
    return set(reader.scalars(select(SIGNING_KEYS.c.kid).where(_LIVE, SIGNING_KEYS.c.created_at <= moment)))


def published_keys(reader: Reader, retired_after: datetime) -> list[SigningKey]:
    """Those that may sign and those retired later than that, the newest last, MOST_KEYS at most."""
    shown = _LIVE | (SIGNING_KEYS.c.retired_at > retired_after)
    return _read(reader, _NEWEST_FIRST.where(shown).limit(MOST_KEYS))[::-1]


def half_written_keys(reader: Reader, *, encrypted: bool) -> list[SigningKey]:
    """Those without a public half and, where they should be `encrypted`, those in the clear."""
    wanting = ~SIGNING_KEYS.c.pem.contains(PUBLIC_BEGINS)
    if encrypted:
        wanting = or_(wanting, ~SIGNING_KEYS.c.pem.contains("ENCRYPTED"))
    return _read(reader, _NEWEST_FIRST.where(wanting).limit(MOST_REWRITTEN))


def all_keys(reader: Reader) -> list[SigningKey]:
    return _read(reader, _NEWEST_FIRST)


def keys_made_since(reader: Reader, moment: datetime) -> int:
    made = select(func.count()).select_from(SIGNING_KEYS).where(SIGNING_KEYS.c.created_at > moment)
    return reader.scalar(made) or 0


def add_key(session: Session, key: SigningKey, now: datetime) -> None:
    session.execute(insert(SIGNING_KEYS).values(kid=key.kid, pem=key.pem, created_at=now))


def rewrite_key(session: Session, key: SigningKey) -> None:
    session.execute(update(SIGNING_KEYS).where(SIGNING_KEYS.c.kid == key.kid).values(pem=key.pem))


def retire_keys(session: Session, now: datetime, of: Collection[str] | None = None) -> None:
    """Have those of these ids, or all, sign no more."""
    meant = _LIVE if of is None else _LIVE & SIGNING_KEYS.c.kid.in_(of)
    session.execute(update(SIGNING_KEYS).where(meant).values(retired_at=now))


def _read(reader: Reader, query: Select[tuple[str, str]]) -> list[SigningKey]:
    return [SigningKey(row.kid, row.pem) for row in reader.execute(query).all()]
