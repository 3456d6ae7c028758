"""Which history a database is in, and the migrations' part in it; see `broker.history`."""

from collections.abc import Sequence
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

from broker.history import History

Reader = Session | Connection

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
    Column("beside", Text),  # the id of the other database's history; null until what became of it is known
)

# What the migrations of auth and movies execute. Frozen: a change is a SCHEMA_2 and a migration that runs it.
# The trigger has every event name the history that it is of, whatever release records it: among its data, as
# these are signed.
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
    BEGIN
        IF jsonb_typeof(NEW.envelope -> 'data') = 'object' AND NOT NEW.envelope -> 'data' ? 'history' THEN
            NEW.envelope := jsonb_set(NEW.envelope, '{data,history}', (
                SELECT to_jsonb(history.id) FROM history ORDER BY number DESC LIMIT 1));
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

MOVED = (
    "the database of {part} was restored or copied by hand: stop the platform and migrate (make migrate), "
    "which begins a new history"
)
# A table that is dropped and restored gets another oid, and so does a database that is copied.
_OIDS = text(
    """
    SELECT (SELECT oid FROM pg_database WHERE datname = current_database()) AS database,
        CAST(CAST('history' AS regclass) AS oid) AS table,
        has_function_privilege('pg_control_system()', 'EXECUTE') AS server,
        current_setting('listen_addresses') = ''
            AND has_function_privilege('pg_stat_file(text)', 'EXECUTE') AS is_embedded
    """
)
_SERVER = text("SELECT system_identifier FROM pg_control_system()")
# A folder that is copied, or put back, has files that were made later. Of the embedded server alone, since a
# standby that takes over has others, too.
_FOLDER = text("SELECT CAST(extract(epoch FROM change) AS bigint) FROM pg_stat_file('PG_VERSION')")


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
    where = f"{server}/{oids.database}/{oids.table}"
    return f"{where}/{reader.scalar(_FOLDER)}" if oids.is_embedded else where


def set_beside(session: Session, of: History, beside: str) -> None:
    """Have a history go with that one of the other database."""
    session.execute(HISTORY.update().where(HISTORY.c.id == of.id).values(beside=beside))


def begin(connection: Connection, number: int, beside: str | None = None, history_id: str = "") -> History:
    """Have the database in a history of this number from now on, under a new id unless one is given."""
    values: dict[str, Any] = {"number": number, "place": place(connection), "beside": beside}
    connection.execute(insert(HISTORY).values({**values, "id": history_id} if history_id else values))
    return current(connection)


def _history(rows: Sequence[Row[Any]]) -> History:
    now, *before = rows
    beside = next((row.beside for row in rows if row.beside is not None), None)
    return History(
        now.number,
        now.id,
        now.began_at,
        beside,
        tuple(row.id for row in before),
        is_settled=now.beside is not None,
    )
