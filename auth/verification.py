"""What others check access tokens by, and what auth answers whoever heard something of an account."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from sqlalchemy.orm import Session

from auth import commands, domain, storage
from auth.domain import TokenSettings
from broker import history, history_table
from broker.database import Transaction
from broker.idempotency import Write

_log = logging.getLogger(__name__)


def verification(transaction: Transaction, tokens: TokenSettings, now: datetime) -> dict[str, Any]:
    with transaction() as session:
        signing_key(session, tokens, now)
        keys = storage.published_keys(session, _retirement_limit(tokens, now))
        revoked = storage.revoked_sessions(session, now)
        staff = storage.staff(session)
        renamed = storage.renamed(session, _retirement_limit(tokens, now))
        now_in = history_table.current(session)
    return {
        "keys": _published(keys, tokens),
        "revoked": [{"session": row.id, "expires_at": row.ended_at} for row in revoked],
        "staff": [{"user_id": row.id, "role": row.role} for row in staff],
        "renamed": [{"user_id": row.id, "username": row.username, "version": row.version} for row in renamed],
        "history": history.said(now_in),
    }


def public_keys(transaction: Transaction, tokens: TokenSettings, now: datetime) -> list[dict[str, Any]]:
    with transaction() as session:
        signing_key(session, tokens, now)
        keys = storage.published_keys(session, _retirement_limit(tokens, now))
    return _published(keys, tokens)


def confirm(transaction: Transaction, asked: commands.Confirm, now: datetime) -> dict[str, Any]:
    with transaction.reading() as reader:
        users = storage.accounts(reader, asked.users) if asked.users else ()
        revoked = storage.revoked_sessions(reader, now, asked.sessions) if asked.sessions else ()
        now_in = history_table.current(reader)
    return {
        "users": [
            {
                "id": row.id,
                "uid": row.uid.hex,
                "username": row.username,
                "role": row.role,
                "version": row.version,
            }
            for row in users
        ],
        "sessions": [
            {"session": row.id, "user_id": row.user_id, "expires_at": row.ended_at} for row in revoked
        ],
        "history": history.said(now_in),
    }


def rotate_keys(transaction: Transaction, tokens: TokenSettings, write: Write) -> str:
    with transaction() as session:
        if earlier := write.claim(session):
            return str(earlier.answer)
        storage.lock_keys(session)
        storage.retire_keys(session, write.now)
        key = domain.new_signing_key(tokens.secret)
        storage.add_key(session, key, write.now)
        return write.settle(session, key.kid)


def signing_key(session: Session, tokens: TokenSettings, now: datetime) -> domain.SigningKey:
    """The key that signs; the first one is made here, by whoever needs it first."""
    if key := storage.current_key(session):
        return key
    storage.lock_keys(session)
    if key := storage.current_key(session):
        return key
    key = domain.new_signing_key(tokens.secret)
    storage.add_key(session, key, now)
    return key


def _published(keys: Sequence[domain.SigningKey], tokens: TokenSettings) -> list[dict[str, Any]]:
    """The public halves; one key that cannot be read keeps nobody from the others."""
    published = []
    for key in keys:
        try:
            published.append(domain.public_jwk(key, tokens.secret))
        except (TypeError, ValueError, AssertionError, UnsupportedAlgorithm) as error:
            _log.warning("the signing key %s cannot be read (%s)", key.kid, type(error).__name__)
    return published


def _retirement_limit(tokens: TokenSettings, now: datetime) -> datetime:
    return now - timedelta(seconds=tokens.lifetime) - domain.RETIREMENT_MARGIN
