"""One moment of both databases: what the one says of the other is true in it.

Whatever one of them knows of the other (an account's reviews, its name, its end; a film's versions) was
announced, so its transaction wrote to its outbox. For as long as both outboxes let nobody write, no such
transaction commits, on either side; the snapshots that are taken meanwhile are of one moment.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime

from psycopg2 import errors
from sqlalchemy import Connection, exc, text

from broker.backup.databases import Sessions, Urls
from broker.backup.failures import BackupFailed
from broker.backup.manifest import DatabaseName
from broker.backup.tables import Shape, quoted, shapes
from broker.migration import MIGRATION_LOCK

# Writers stand in line behind us for so long at most, before we step back and let them through.
GATE_MILLISECONDS = 250
STEP_BACK_SECONDS = 0.25
GATES_SECONDS = 60.0

_NO_MIGRATION = text("SELECT pg_advisory_lock_shared(:key)").bindparams(key=MIGRATION_LOCK)
# The first query of such a transaction takes its snapshot.
_SNAPSHOT = text("SELECT clock_timestamp()")
_HOLDERS = text(
    """
    SELECT pid, application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE relation = CAST('outbox' AS regclass) AND granted AND mode <> 'AccessShareLock'
    """
)


@dataclass(frozen=True)
class Point:
    """A connection to each database in which nothing changes any more, and for how long writers waited.

    `at` is the moment, by the clock of auth's database.
    """

    connections: Mapping[DatabaseName, Connection]
    shapes: Mapping[DatabaseName, list[Shape]]
    at: datetime
    seconds: float


@contextmanager
def agreed(sessions: Sessions, urls: Urls) -> Iterator[Point]:
    """The point, until the end of the `with`; migrations wait as long. Raises BackupFailed."""
    with ExitStack() as stack:
        readers = {name: stack.enter_context(sessions.connection(url)) for name, url in urls.items()}
        gates = {name: stack.enter_context(sessions.connection(url)) for name, url in urls.items()}
        found: dict[DatabaseName, list[Shape]] = {}
        for name, reader in readers.items():
            found[name] = _begin(name, reader)
        at, seconds = _take_snapshots(readers, gates)
        for gate in gates.values():
            gate.close()
        yield Point(readers, found, at, seconds)


def _begin(name: DatabaseName, reader: Connection) -> list[Shape]:
    """Keep migrations out, and begin a transaction that has no snapshot yet."""
    try:
        reader.execute(_NO_MIGRATION)
    except exc.DBAPIError as error:
        if isinstance(error.orig, errors.LockNotAvailable):
            raise BackupFailed(f"{name}: a migration is under way; try again when it is done") from error
        raise
    found = shapes(reader)
    if not any(shape.name == "outbox" for shape in found):
        raise BackupFailed(f"{name}: the database has no tables of the platform yet")
    reader.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    names = ", ".join(quoted(reader, shape.name) for shape in found)
    reader.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS SHARE MODE")
    return found


def _take_snapshots(
    readers: Mapping[DatabaseName, Connection], gates: Mapping[DatabaseName, Connection]
) -> tuple[datetime, float]:
    deadline = time.monotonic() + GATES_SECONDS
    while True:
        began = time.monotonic()
        try:
            for gate in gates.values():
                gate.exec_driver_sql(f"BEGIN; SET LOCAL lock_timeout = {GATE_MILLISECONDS}")
                gate.exec_driver_sql("LOCK TABLE outbox IN SHARE MODE")
            moments = [reader.scalar(_SNAPSHOT) for reader in readers.values()]
            return moments[0], time.monotonic() - began
        except exc.DBAPIError as error:
            if not isinstance(error.orig, errors.LockNotAvailable):
                raise
        finally:
            for gate in gates.values():
                gate.exec_driver_sql("ROLLBACK")
        if time.monotonic() > deadline:
            raise BackupFailed(_who_holds(gates))
        time.sleep(STEP_BACK_SECONDS)


def _who_holds(gates: Mapping[DatabaseName, Connection]) -> str:
    holders = [
        f"process {row.pid} of {name} ({row.application_name or 'of no name'})"
        for name, gate in gates.items()
        for row in gate.execute(_HOLDERS)
    ]
    return (
        f"within {GATES_SECONDS:g} s there was no moment at which nobody was writing: "
        f"{', '.join(holders) or 'nobody now'} has written to its outbox, and not committed"
    )
