"""The history that a database is in: tokens, events and positions of another one are not of it.

A restored backup goes back to a moment from which other things happen than did. So a restore begins a new
history (`broker.new_history`), under an id that nobody can hand out twice. Tokens, events and with them the
positions in rooms name the history; what names another one is refused, or passed over.

Auth's and movies' databases have one each, and each says which history of the other it goes with (`beside`):
databases of two histories do not serve together. Where the database was when the history began is kept too
(`place`), so that one that somebody restored or copied by hand is noticed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    MetaData,
    Row,
    Table,
    Text,
    insert,
    select,
    text,
)
from sqlalchemy.orm import Session

Reader = Session | Connection  # as broker.database has it, which the notifier must not import

# Its own metadata: the table is made by SCHEMA_1 in each service's migrations.
HISTORY = Table(
    "history",
    MetaData(),
    Column(
        "number", BigInteger, primary_key=True
    ),  # ascending; the highest is the one that the database is in
    Column("id", Text, nullable=False),  # 32 hexadecimal digits, unique
    Column("began_at", DateTime(timezone=True), nullable=False),
    Column("place", Text),
    Column("beside", Text),  # the id of the other database's history; null until it is known
)

# What the migrations of auth and movies execute. Frozen: a change is a SCHEMA_2 and a migration that runs it.
# The trigger has every event name the history that it is of, whatever release records it: as an extension
# attribute of the envelope, `history`, and at the beginning of its id, which is signed and is the position
# of clients in their rooms.
SCHEMA_1 = (
    """
    CREATE TABLE history (
        number   bigint PRIMARY KEY CHECK (number > 0),
        id       text NOT NULL UNIQUE DEFAULT replace(CAST(gen_random_uuid() AS text), '-', ''),
        began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        place    text,
        beside   text
    )
    """,
    """
    CREATE FUNCTION outbox_in_history() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        current text;
    BEGIN
        IF NOT NEW.envelope ? 'history' THEN
            SELECT history.id INTO current FROM history ORDER BY number DESC LIMIT 1;
            NEW.envelope := NEW.envelope || jsonb_build_object(
                'history', current, 'id', current || '.' || (NEW.envelope ->> 'id'));
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER outbox_in_history BEFORE INSERT ON outbox
    FOR EACH ROW EXECUTE FUNCTION outbox_in_history()
    """,
)
DROP_1 = (
    "DROP TRIGGER outbox_in_history ON outbox",
    "DROP FUNCTION outbox_in_history()",
    "DROP TABLE history",
)

SEPARATOR = "."  # in an event's id, between the history and the rest
MOVED = (
    "the database of {part} was restored or copied by hand: stop the platform and migrate (make migrate), "
    "which begins a new history"
)
# A table that is dropped and restored gets another oid, and so does a database that is copied.
_OIDS = text(
    """
    SELECT (SELECT oid FROM pg_database WHERE datname = current_database()) AS database,
        CAST(CAST('history' AS regclass) AS oid) AS table,
        has_function_privilege('pg_control_system()', 'EXECUTE') AS server
    """
)
_SERVER = text("SELECT system_identifier FROM pg_control_system()")


@dataclass(frozen=True)
class History:
    """`number` ascends from one history of an installation to the next, `id` names it for good.

    `before` are the ids of those that it came from; `beside` is the other database's, None where unknown.
    """

    number: int
    id: str
    began_at: datetime
    beside: str | None = None
    before: tuple[str, ...] = ()

    def includes(self, history: str | None, at: datetime) -> bool:
        """Whether what names `history`, and is of the moment `at`, is of this one.

        What names none is of a release before histories: it is, as long as there has been no other one.
        """
        if history is None:
            return self.number == 1 or at >= self.began_at
        return history == self.id


def of_event(event_id: str) -> str | None:
    """The history that an event's id names; None for one of a release before histories."""
    history, separator, _ = event_id.partition(SEPARATOR)
    return history if separator else None


def current(reader: Reader) -> History:
    """The history that a database is in. Raises what SQLAlchemy raises where it has not been migrated."""
    return _history(reader.execute(select(HISTORY).order_by(HISTORY.c.number.desc())).all())


def trouble(reader: Reader, part: str) -> str | None:
    """A sentence on what is wrong with the database of `part` (auth or movies), and what to do; or None."""
    kept = reader.scalar(select(HISTORY.c.place).order_by(HISTORY.c.number.desc()).limit(1))
    return None if kept is None or kept == place(reader) else MOVED.format(part=part)


def place(reader: Reader) -> str:
    """Where the database is: another text wherever its tables have been restored or copied to."""
    oids = reader.execute(_OIDS).one()
    server = reader.scalar(_SERVER) if oids.server else ""
    return f"{server}/{oids.database}/{oids.table}"


def begin(connection: Connection, number: int, beside: str | None = None, history_id: str = "") -> History:
    """Have the database in a history of this number from now on, under a new id unless one is given."""
    values: dict[str, Any] = {"number": number, "place": place(connection), "beside": beside}
    connection.execute(insert(HISTORY).values({**values, "id": history_id} if history_id else values))
    return current(connection)


def _history(rows: Sequence[Row[Any]]) -> History:
    now, *before = rows
    return History(now.number, now.id, now.began_at, now.beside, tuple(row.id for row in before))
