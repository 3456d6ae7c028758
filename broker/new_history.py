"""A new history of both databases, after one of them or both went back to what a backup holds.

Nothing that was given out in the lost time is given out again: ids continue beyond it, versions as well, and
tokens of before are worth nothing, as the keys that signed them are gone.

What the lost time may have given out is known exactly where the databases that are replaced can be asked
(`marks`, before the restore); in any case so many ids and versions are left out as nobody could have used
since the backup.

Of the data that were restored stay: the outbox, since an event may not have been published when the backup
was made (it keeps its id, by which whoever has seen it drops it), and what was written under an
Idempotency-Key, which is among the data. Sessions end.
"""

import logging
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import Connection, func, select, text

from broker import history_table, reconciliation
from broker.history import History

_log = logging.getLogger(__name__)

Part = Literal["auth", "movies"]

LEAST_GAP: Final = 10_000
# More ids than any table's, and more versions than any film's or user's, that there can be in a second.
GAP_A_SECOND: Final = 1_000
MOST: Final = 2**53 - 1  # beyond it JavaScript counts in twos

_IDENTITIES = text(
    """
    SELECT relname AS table, attname AS column,
        pg_get_serial_sequence(quote_ident(relname), attname) AS sequence
    FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = CAST(current_schema() AS regnamespace) AND relkind = 'r' AND attidentity <> ''
    """
)
# What ascends with each event of a film or a user.
_VERSIONED = {"auth": "users", "movies": "movie_stats"}
# When something was written last.
_WRITTEN = {
    "users": ("created_at", "updated_at"),
    "movies": ("updated_at",),
    "reviews": ("updated_at",),
    "idempotency_keys": ("created_at",),
    "history": ("began_at",),
}


@dataclass(frozen=True)
class Marks:
    """What a database has ever given out: the highest by `table.column`, of users those that it refers to too
    (`users.id`). `history` is the number of the one that it is in, 0 where it knows none.
    """

    history: int = 0
    highest: Mapping[str, int] = field(default_factory=dict)

    def of(self, name: str) -> int:
        return self.highest.get(name, 0)


def marks(connection: Connection) -> Marks:
    """Those of a database of any release, or an empty one; to be asked for before it is replaced."""
    highest: dict[str, int] = {}
    tables = _tables(connection)
    for table, column, sequence in connection.execute(_IDENTITIES).all():
        given = connection.scalar(text(f"SELECT last_value FROM {sequence} WHERE is_called"))  # noqa: S608
        highest[f"{table}.{column}"] = max(given or 0, _highest(connection, table, column))
    known = [
        _highest(connection, table, column)
        for table, column in reconciliation.REFERENCES.items()
        if table in tables
    ]
    highest["users.id"] = max(highest.get("users.id", 0), *known, 0)
    number = _highest(connection, "history", "number") if "history" in tables else 0
    return Marks(number, highest)


def start_new(
    databases: Mapping[Part, Connection],
    went_back: Mapping[Part, Marks | None],
    backed_up_at: datetime | None = None,
) -> History:
    """Begin a new history in both databases, migrated to this release; answers it.

    `databases` are connections to both, each in a transaction that the caller commits: movies' first, as long
    as auth's is not there nobody serves. `went_back` are the parts that hold older data than they did, with
    the `marks` of what they replace, None where that is lost. `backed_up_at` is the moment of the backup;
    without it the last one that the data tell of counts.

    Accounts that movies knows and auth does not, or not as the same, are gone: what they wrote stays,
    unsigned. Run again after half of it was committed it begins one more, which is as good.
    """
    auth, movies = databases["auth"], databases["movies"]
    there = {part: marks(connection) for part, connection in databases.items()}
    known = [*there.values(), *(each for each in went_back.values() if each is not None)]
    for part in went_back:
        connection = databases[part]
        seconds = _seconds_since(connection, backed_up_at)
        _continue_versions(connection, part, _lost_events(there[part], went_back[part]) + gap(seconds))
        _continue_ids(connection, known, seconds)
    _end_sign_ins(auth)
    reconciliation.reconcile(auth, movies)
    number = max(each.history for each in known) + 1
    history_id = uuid.uuid4().hex
    history_table.begin(movies, number, history_id, history_id)
    return history_table.begin(auth, number, history_id, history_id)


def begin_where_moved(connection: Connection, part: Part) -> History | None:
    """Begin a new history of one migrated database where it was restored or copied by hand.

    The other one learns of it from its service. None where it is where it was.
    """
    if "history" not in _tables(connection) or history_table.trouble(connection, part) is None:
        return None
    seconds = _seconds_since(connection, None)
    there = marks(connection)
    _continue_versions(connection, part, gap(seconds))
    _continue_ids(connection, [there], seconds)
    if part == "auth":
        _end_sign_ins(connection)
    before = history_table.current(connection)
    begun = history_table.begin(connection, before.number + 1)
    _log.warning(
        "the database of %s was restored or copied by hand: it is in a new history, %d", part, begun.number
    )
    return begun


def gap(seconds: float, beyond: int = 0) -> int:
    """How many numbers are left out after `beyond`, `seconds` after a backup; fewer where they would end."""
    return max(min(LEAST_GAP + int(GAP_A_SECOND * seconds), (MOST - beyond) // 2), 0)


def _lost_events(there: Marks, replaced: Marks | None) -> int:
    """No version has ascended more often than events were recorded."""
    return max((replaced or there).of("outbox.id") - there.of("outbox.id"), 0)


def _seconds_since(connection: Connection, moment: datetime | None) -> float:
    """By the database's clock; no less than 0."""
    now = connection.scalar(select(func.clock_timestamp()))
    assert now is not None  # noqa: S101
    if moment is None:
        tables = _tables(connection)
        written = [
            connection.scalar(text(f"SELECT max({column}) FROM {table} WHERE {column} <= clock_timestamp()"))  # noqa: S608
            for table, columns in _WRITTEN.items()
            for column in columns
            if table in tables
        ]
        moment = max((each for each in written if each is not None), default=now)
    return max((now - moment).total_seconds(), 0.0)


def _continue_ids(connection: Connection, known: Iterable[Marks], seconds: float) -> None:
    for table, column, sequence in connection.execute(_IDENTITIES).all():
        last = max(each.of(f"{table}.{column}") for each in known)
        connection.execute(
            text("SELECT setval(CAST(:sequence AS regclass), :last)"),
            {"sequence": sequence, "last": last + max(gap(seconds, last), 1)},
        )


def _continue_versions(connection: Connection, part: Part, by: int) -> None:
    """Every one, so that whoever writes them, of whichever release, goes on from there."""
    statement = f"UPDATE {_VERSIONED[part]} SET version = greatest(version + 1, least(version + :by, :most))"  # noqa: S608
    connection.execute(text(statement), {"by": by, "most": MOST // 2})


def _end_sign_ins(auth: Connection) -> None:
    """Auth makes a key when it needs one."""
    auth.execute(text("DELETE FROM signing_keys"))
    auth.execute(text("DELETE FROM sessions"))


def _highest(connection: Connection, table: str, column: str) -> int:
    return int(connection.scalar(text(f"SELECT max({column}) FROM {table}")) or 0)  # noqa: S608


def _tables(connection: Connection) -> set[str]:
    query = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    return set(connection.scalars(text(query)))
