"""The locks of the relays of a database: advisory ones, which end with their session.

One lets a single relay work. Another one keeps deployments apart: what a broker inside the process is told
reaches nobody else, so a relay that has such a broker (`make run`) works where it is alone, and the others
work where there is none of these.
"""

import logging
import time

from sqlalchemy import Connection, text

from broker.outages import SharedSession
from broker.sessions import is_pooled, session_id
from broker.waits import waits_end_after

_log = logging.getLogger(__name__)

# Any number that nothing else in these databases locks; the same for every relay of a database.
ADVISORY_LOCK = 0x0B0C5
DEPLOYMENT_LOCK = 0x0B0C6
STALE_SECONDS = 30.0  # an event that has waited so long is one that nobody announces
TELL_SECONDS = 60.0  # between two lines on who holds the lock and announces nothing

_BE_ONE_OF_MANY = text("SELECT pg_try_advisory_lock_shared(:key)").bindparams(key=DEPLOYMENT_LOCK)
_BE_ALONE = text("SELECT pg_try_advisory_lock(:key)").bindparams(key=DEPLOYMENT_LOCK)
_TAKE = text("SELECT pg_try_advisory_lock(:key)").bindparams(key=ADVISORY_LOCK)
_HOLDER = text(
    """
    SELECT locked.pid, activity.application_name, activity.state,
        (SELECT extract(epoch FROM clock_timestamp() - min(created_at)) FROM outbox) AS oldest_seconds
    FROM pg_locks AS locked LEFT JOIN pg_stat_activity AS activity USING (pid)
    WHERE locked.locktype = 'advisory' AND locked.classid = 0 AND locked.objid = :key
        AND locked.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """
).bindparams(key=ADVISORY_LOCK)


class OtherDeployment(Exception):
    """Another platform, whose broker is another one, announces what is in this database."""


class RelayLock:
    """The lock of the relay that works, on the session of `connection`, which is in autocommit.

    `in_memory`: whether the relay's broker is one inside the process. `seconds` for each answer of the
    database.
    """

    def __init__(self, connection: Connection, seconds: float, *, in_memory: bool) -> None:
        self._connection = connection
        self._seconds = seconds
        self._in_memory = in_memory
        self._has_joined = False
        self._session: int | None = None  # where a pooler could give us another one
        self._tell_at = time.monotonic() + TELL_SECONDS

    def take(self) -> bool:
        """Whether it is ours now. Raises OtherDeployment."""
        with waits_end_after(self._seconds):
            self._join()
            taken = bool(self._connection.scalar(_TAKE))
            driver = self._connection.connection.driver_connection
            if taken and driver is not None and is_pooled(driver):
                self._session = session_id(driver)
        return taken

    def _join(self) -> None:
        if self._has_joined:
            return
        if not self._connection.scalar(_BE_ALONE if self._in_memory else _BE_ONE_OF_MANY):
            raise OtherDeployment(
                "setting AMQP_URI is memory://, and others announce what is in this database"
                if self._in_memory
                else "a platform with a broker in its memory (`make run`) announces what is in this database"
            )
        self._has_joined = True

    def check(self) -> None:
        """Raises SharedSession where what we say reaches another session than the one that holds it."""
        driver = self._connection.connection.driver_connection
        if self._session is not None and driver is not None:
            with waits_end_after(self._seconds):
                if session_id(driver) != self._session:
                    raise SharedSession

    def tell_of_its_holder(self) -> None:
        """Where another holds it and announces nothing, say who that is, once in TELL_SECONDS."""
        if time.monotonic() < self._tell_at:
            return
        self._tell_at = time.monotonic() + TELL_SECONDS
        with waits_end_after(self._seconds):
            holder = self._connection.execute(_HOLDER).first()
        if holder is not None and (holder.oldest_seconds or 0) > STALE_SECONDS:
            _log.warning(
                "the outbox waits, for %d s by now, and its lock is held by PostgreSQL's process %d (%s, %s)",
                holder.oldest_seconds,
                holder.pid,
                holder.application_name or "of no name",
                holder.state or "of another user",
            )
