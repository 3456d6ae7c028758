"""Gives accounts their keys where they have none: those of before there were keys, and those that an older
release has let in while this one was being started.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Row, Text, bindparam, func, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session

from auth import names
from auth.storage import ACCOUNT_COLLISIONS, KEYS, USERS, collisions
from broker import outbox
from broker.events import UserReference, UserUpdated

BATCH = 500


def key_some(session: Session, now: datetime) -> tuple[bool, list[dict[str, Any]]]:
    """Key a batch: whether there were any, and those that collide, as `storage.collisions` lists them."""
    accounts = _unkeyed(session)
    return bool(accounts), list(key(session, accounts, now))


def key(session: Session, accounts: Sequence[Row[Any]], now: datetime) -> Iterator[dict[str, Any]]:
    """Give each of `accounts` its keys; one that another account has stays with that one, and is listed."""
    if not accounts:
        return
    made = {account.id: asdict(names.keys(account.username, account.email)) for account in accounts}
    given = {field: _free(session, field, {row: keys[field] for row, keys in made.items()}) for field in KEYS}
    rows = func.unnest(
        bindparam("ids", list(made), ARRAY(BigInteger)),
        *(bindparam(field, [given[field].get(row) for row in made], ARRAY(Text)) for field in KEYS),
    )
    keyed = rows.table_valued("id", *KEYS).render_derived("keyed")
    values = {field: func.coalesce(USERS.c[field], keyed.c[field]) for field in KEYS}
    session.execute(update(USERS).where(USERS.c.id == keyed.c.id).values(values))
    for account in accounts:
        in_form = unicodedata.normalize("NFC", account.username)
        if in_form != account.username and account.id in given["username_key"]:
            _rename(session, account.id, in_form, now)
    colliding = [
        {"user_id": row, "field": field, "key": keys[field]}
        for row, keys in made.items()
        for field in KEYS
        if row not in given[field]
    ]
    if colliding:
        session.execute(insert(ACCOUNT_COLLISIONS).on_conflict_do_nothing(), colliding)
        yield from collisions(session, len(colliding), of={each["user_id"] for each in colliding})


def _rename(session: Session, user_id: int, username: str, now: datetime) -> None:
    """The same name in other bytes: the keys stay."""
    values = {
        "username": username,
        "version": USERS.c.version + 1,
        "renamed_at": now,
        "updated_at": func.greatest(USERS.c.created_at, now),
    }
    renamed = update(USERS).where(USERS.c.id == user_id).values(values)
    # Of these columns alone: a migration does this before there are uids.
    user = session.execute(
        renamed.returning(USERS.c.id, USERS.c.username, USERS.c.version, USERS.c.role)
    ).one()
    reference = UserReference(id=user.id, username=user.username)
    outbox.record(session, UserUpdated(version=user.version, user=reference, role=user.role), now)


def _unkeyed(session: Session) -> Sequence[Any]:
    """A batch of accounts that lack a key which they are not known to share with another, by ascending id."""
    lacking = [
        USERS.c[field].is_(None)
        & ~select(ACCOUNT_COLLISIONS.c.user_id)
        .where(ACCOUNT_COLLISIONS.c.user_id == USERS.c.id, ACCOUNT_COLLISIONS.c.field == field)
        .exists()
        for field in KEYS
    ]
    query = select(USERS.c.id, USERS.c.username, USERS.c.email).where(or_(*lacking))
    return session.execute(query.order_by(USERS.c.id).limit(BATCH).with_for_update()).all()


def _free(session: Session, field: str, wanted: dict[int, str]) -> dict[int, str]:
    """Those of `wanted` (keys by account) that no other account has: the first to ask gets it."""
    query = select(USERS.c[field], USERS.c.id).where(USERS.c[field].in_(set(wanted.values())))
    holders: dict[str, int] = {holder[0]: holder[1] for holder in session.execute(query)}
    return {row: key for row, key in wanted.items() if holders.setdefault(key, row) == row}
