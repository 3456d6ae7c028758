"""Who holds up a connection to PostgreSQL, seen from another one while it waits."""

import threading
from typing import Any, Self

from sqlalchemy import Connection, Engine, exc, text

LOOK_SECONDS = 0.25

_WHO = text(
    """
    SELECT pid, coalesce(nullif(application_name, ''), 'of no name') AS name, usename AS account,
        coalesce(state, 'of another user') AS state,
        to_char(coalesce(query_start, xact_start, backend_start) AT TIME ZONE 'UTC', 'HH24:MI:SS') AS since
    FROM pg_stat_activity WHERE pid = ANY(pg_blocking_pids(:pid)) ORDER BY xact_start LIMIT 3
    """
)


class Blockers:
    """Looks, for the length of a `with`, whom the session of `connection` waits for: `last_seen`."""

    def __init__(self, engine: Engine, connection: Connection) -> None:
        self._engine = engine
        self._pid = connection.scalar(text("SELECT pg_backend_pid()"))
        connection.commit()
        self.last_seen = "somebody who is gone by now"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watching:
                while not self._ended.wait(LOOK_SECONDS):
                    if held_up_by := watching.execute(_WHO, {"pid": self._pid}).all():
                        self.last_seen = "; ".join(_described(row) for row in held_up_by)
        except exc.SQLAlchemyError:
            return  # whoever waits finds out what is wrong

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ended.set()
        self._thread.join()


def _described(row: Any) -> str:
    return f"PostgreSQL's process {row.pid} ({row.name}, {row.account}, {row.state} since {row.since} UTC)"
