"""What others check access tokens by, and what auth answers whoever heard something of an account."""

from datetime import datetime
from typing import Any

from auth import commands, signing, storage
from auth.domain import TokenSettings
from broker import history, history_table
from broker.database import Transaction


def verification(transaction: Transaction, tokens: TokenSettings, now: datetime) -> dict[str, Any]:
    with transaction() as session:
        signing.key(session, tokens, now)
        keys = signing.published(session, tokens, now)
        revoked = storage.revoked_sessions(session, now)
        staff = storage.staff(session)
        renamed = storage.renamed(session, signing.retirement_limit(tokens, now))
        now_in = history_table.current(session)
    return {
        "keys": keys,
        "now": transaction.now().timestamp(),
        "revoked": [{"session": row.id, "expires_at": row.ended_at} for row in revoked],
        "staff": [{"user_id": row.id, "role": row.role} for row in staff],
        "renamed": [{"user_id": row.id, "username": row.username, "version": row.version} for row in renamed],
        "history": history.said(now_in),
    }


def public_keys(transaction: Transaction, tokens: TokenSettings, now: datetime) -> list[dict[str, Any]]:
    with transaction() as session:
        signing.key(session, tokens, now)
        return signing.published(session, tokens, now)


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
