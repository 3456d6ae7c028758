"""The transactional outbox: an event is a row in the transaction that made it true.

A row means «not published yet»: the relay (`broker/relay.py`) deletes it once the broker has confirmed the
event. So a committed change is announced even if every process dies after the commit, and an aborted one
never is.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Identity, MetaData, Table, Text, func, insert, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from broker.events import Event, envelope

# Its own metadata: the table is made by SCHEMA_1 in each service's migrations.
OUTBOX = Table(
    "outbox",
    MetaData(),
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("source", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("envelope", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

CHANNEL = "outbox"

# What the migrations of auth and movies execute. Frozen: a change is a SCHEMA_2 and a migration that runs it.
# The notification is only a hint that spares the relay's next poll.
SCHEMA_1 = (
    """
    CREATE TABLE outbox (
        id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        source   text NOT NULL,
        type     text NOT NULL,
        envelope jsonb NOT NULL
    )
    """,
    """
    CREATE FUNCTION outbox_notify() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NOTIFY outbox; RETURN NULL; END $$
    """,
    """
    CREATE TRIGGER outbox_notify AFTER INSERT ON outbox
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_notify()
    """,
)

# How long a row has waited; the default is for a release that does not know the column yet.
SCHEMA_2 = ("ALTER TABLE outbox ADD COLUMN created_at timestamptz NOT NULL DEFAULT clock_timestamp()",)

DROP_1 = ("DROP TABLE outbox", "DROP FUNCTION outbox_notify()")
DROP_2 = ("ALTER TABLE outbox DROP COLUMN created_at",)


def record(session: Session, event: Event, now: datetime) -> None:
    """Announce `event` if, and only if, the transaction of `session` commits.

    The order of publication is the order of the rows' ids. For events of one movie (or user) that is the
    order of commits too, as long as the caller holds that movie's (or user's) row lock here.
    """
    session.execute(
        insert(OUTBOX).values(
            source=event.source, type=event.type, envelope=envelope(event, now), created_at=now
        )
    )


def sequence(envelope: Mapping[str, Any]) -> str:
    """Along what the event's version counts, and so must be published in order: a movie, or a user."""
    data = envelope["data"]
    return next((f"{name} {data[name]['id']}" for name in ("movie", "user") if name in data), "")


def backlog(session: Session, now: datetime) -> dict[str, int | float | None]:
    """How many events wait to be published, and for how long the oldest has:
    `{"waiting": int, "oldest_seconds": float | None}`, None where there are none.
    """
    waiting, oldest = session.execute(select(func.count(), func.min(OUTBOX.c.created_at))).one()
    return {
        "waiting": waiting,
        # Recorded by the clock of another process, which may be a little ahead.
        "oldest_seconds": None if oldest is None else max((now - oldest).total_seconds(), 0.0),
    }
