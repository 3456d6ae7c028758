"""The outbox relay: publishes what `broker.outbox` recorded, in order, each confirmed by the broker.

Any number of processes run one; an advisory lock lets a single one work per database. The others wait to take
over, which they can once its session ends: it stopped, it died, it lost the broker, or it was silent for
SILENT_SECONDS (frozen, or its machine gone), when PostgreSQL ends the session.

A relay that was frozen and thaws may have been replaced without knowing. It looks at the clock before each
event, so it repeats what it was about to send, one event at most. That loses nothing, as only confirmed rows
are deleted. It reorders nothing either, for those who drop the ids that they have seen: whoever publishes an
event has published the one before it in its sequence (a movie's events, a user's), or did not see its row
any more because it was confirmed. So an event never comes for the first time before its predecessors, however
many relays there are; what comes late is a repetition.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import eventlet
import eventlet.hubs
from nameko.extensions import DependencyProvider
from sqlalchemy import Connection, Row, create_engine, delete, exc, select, text
from sqlalchemy.pool import NullPool

from broker import config
from broker.outages import SharedSession
from broker.outbox import CHANNEL, OUTBOX, sequence
from broker.outlet import BROKER_ERRORS, Outlet, outlet
from broker.relay_lock import OtherDeployment, RelayLock
from broker.schema import Schema
from broker.sessions import own_sessions
from broker.signatures import Signer, SigningPublisher
from broker.upkeep import Troubles
from broker.waits import heed_deadlines, waits_end_after

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.5  # notifications are a hint, this is the truth
TAKEOVER_SECONDS = 0.5
RETRY_SECONDS = 1.0  # longer than TAKEOVER_SECONDS, so that another gets its turn
BATCH_ROWS = 100
SENDING_SECONDS = 1.0  # after its rows came, nothing of a batch is sent that has not been by then
DATABASE_SECONDS = 3.0  # for an answer of the database
SILENT_SECONDS = 5  # longer than a batch is away from the database, unless the broker all but stands still
HELD_SECONDS = 5.0  # until what the broker did not take is tried again
HELD_ROWS = 1000  # with as many, all others wait as well
STOP_SECONDS = 4.0
SAY_AGAIN_SECONDS = 60.0
# Where the configuration may hold an eventlet Event that the relays wait for.
GATE = "RELAY_GATE"


class Publisher(Protocol):
    """What `relay_batch` publishes with; see `broker.outlet.Outlet`."""

    def send(self, event_type: str, envelope: Mapping[str, Any]) -> None: ...

    def settle(self) -> set[str]: ...


@dataclass
class Held:
    """What is passed over for a while, so that it does not hold up the rest: rows whose event the broker did
    not take, and those that come after one in its sequence.
    """

    rows: set[int] = field(default_factory=set)
    sequences: set[str] = field(default_factory=set)

    def release(self) -> None:
        """Have all of them tried again, in their order."""
        self.rows.clear()
        self.sequences.clear()


def relay_batch(connection: Connection, publisher: Publisher, held: Held, most: int = BATCH_ROWS) -> int:
    """Publish the first `most` rows of the outbox that are not held, and delete those whose event was taken.

    Answers how many rows it has dealt with; 0 when there is nothing to do. An event is sent after the one
    before it in its sequence was taken, and held where that was not; apart from that, the broker's answers to
    a batch are awaited together. `connection` is in autocommit, and its session holds the advisory lock.
    Raises whatever SQLAlchemy or `publisher` raises; what may be unpublished is still in the outbox then.
    """
    asked = time.monotonic()
    first = select(OUTBOX).order_by(OUTBOX.c.id).limit(min(most, HELD_ROWS - len(held.rows)))
    with waits_end_after(DATABASE_SECONDS):
        rows = connection.execute(first.where(OUTBOX.c.id.not_in(held.rows)) if held.rows else first).all()
    came = time.monotonic()
    if came - asked > SILENT_SECONDS:
        raise _Overtaken
    batch = _Batch(publisher, held)
    for row in rows:
        if time.monotonic() - came > SENDING_SECONDS:
            break
        batch.publish(row)
    batch.settle()
    if batch.taken:
        with waits_end_after(DATABASE_SECONDS):
            connection.execute(delete(OUTBOX).where(OUTBOX.c.id.in_(batch.taken)))
    return batch.count


class _Batch:
    """Rows on their way to the broker: of each sequence one at a time."""

    def __init__(self, publisher: Publisher, held: Held) -> None:
        self.taken: list[int] = []
        self.count = 0
        self._publisher = publisher
        self._held = held
        self._under_way: dict[str, Row[Any]] = {}  # by sequence

    def publish(self, row: Row[Any]) -> None:
        of = sequence(row.envelope)
        if of in self._under_way:
            self.settle()
        self.count += 1
        if of in self._held.sequences:
            self._held.rows.add(row.id)
        else:
            self._publisher.send(row.type, row.envelope)
            self._under_way[of] = row

    def settle(self) -> None:
        if not self._under_way:
            return
        refused = self._publisher.settle()
        if refused:
            _log.warning("no queue took %d events, %s is one: tried again", len(refused), min(refused))
        for of, row in self._under_way.items():
            if row.envelope["id"] in refused:
                self._held.rows.add(row.id)
                self._held.sequences.add(of)
            else:
                self.taken.append(row.id)
        self._under_way.clear()


class OutboxRelay(DependencyProvider):
    """Runs the relay of one database beside a service. It injects nothing.

    `url_setting` names the setting of the database's URL, `source` the service whose events it relays;
    `signer` finds in the database what they are signed with, if they are. It waits for its `schema` in
    silence: that the service waits, the service says.
    """

    def __init__(
        self,
        url_setting: str,
        source: str,
        signer: Callable[[Connection], Signer] | None = None,
        schema: Schema | None = None,
    ) -> None:
        self.url_setting = url_setting
        self.source = source
        self.signer = signer
        self.schema = schema
        self._thread: Any = None
        self._stopping = False
        self._troubles = Troubles()
        self._said = ""
        self._say_again_at = 0.0

    def bind(self, container: Any, attr_name: str) -> "OutboxRelay":
        # A broker that nobody else is connected to would take every event.
        config.check_service(container, "AMQP_URI", self.url_setting)
        return super().bind(container, attr_name)

    def start(self) -> None:
        self._thread = self.container.spawn_managed_thread(
            self._run, identifier=f"{self.source} outbox relay"
        )

    def stop(self) -> None:
        """Finish the batch at work and let go of the lock, so that another relay takes over at once.

        One that is stuck with a broker or a database is killed by its container afterwards.
        """
        self._stopping = True
        with eventlet.Timeout(STOP_SECONDS, exception=False):
            self._thread.wait()

    def _run(self) -> None:
        # A broker in memory keeps nothing for queues to come: there relaying begins when all are there.
        if (gate := self.container.config.get(GATE)) is not None:
            gate.wait()
        settings = config.settings(self.container.config)
        heed_deadlines()
        # The lock lives as long as this connection, so it is kept out of every pool.
        database = create_engine(
            getattr(settings, self.url_setting),
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            # pg_stat_activity then tells which process relays.
            connect_args={"application_name": f"outbox relay of process {os.getpid()}"},
        )
        own_sessions(database, idle_session_timeout=f"{SILENT_SECONDS}s")
        while not self._stopping:
            try:
                with waits_end_after(DATABASE_SECONDS):
                    connection = database.connect()
                lock = RelayLock(connection, DATABASE_SECONDS, in_memory=settings.in_memory)
                with connection:
                    if self._get(connection, lock):
                        with outlet(settings.AMQP_URI, self.source, self._troubles) as publisher:
                            self._relay(connection, self._signing(connection, publisher), lock)
            except (exc.DBAPIError, SharedSession, OtherDeployment, _Overtaken, *BROKER_ERRORS) as error:
                if not self._stopping:
                    self._note(error)
                    self._pause(RETRY_SECONDS)

    def _get(self, connection: Connection, lock: RelayLock) -> bool:
        """True once it is ours, False where the service stops first."""
        while not self._stopping:
            if self._is_migrated(connection):
                if lock.take():
                    return True
                lock.tell_of_its_holder()
            self._pause(TAKEOVER_SECONDS)
        return False

    def _is_migrated(self, connection: Connection) -> bool:
        with waits_end_after(DATABASE_SECONDS):
            return self.schema is None or self.schema.trouble(connection) is None

    def _signing(self, connection: Connection, publisher: Outlet) -> Outlet | SigningPublisher:
        if self.signer is None:
            return publisher
        with waits_end_after(DATABASE_SECONDS):
            return SigningPublisher(publisher, self.signer(connection))

    def _note(self, error: Exception) -> None:
        """What keeps the relay from its work is said once, and again while it lasts."""
        said = _first_line(error)
        if said != self._said or time.monotonic() > self._say_again_at:
            _log.warning("the %s relay starts again: %s", self.source, said)
            self._said, self._say_again_at = said, time.monotonic() + SAY_AGAIN_SECONDS

    def _relay(self, connection: Connection, publisher: Outlet | SigningPublisher, lock: RelayLock) -> None:
        _log.info("relaying the %s outbox", self.source)
        self._said = ""
        with waits_end_after(DATABASE_SECONDS):
            connection.execute(text(f"LISTEN {CHANNEL}"))
        held = Held()
        released = time.monotonic()
        while not self._stopping:
            if time.monotonic() - released > HELD_SECONDS:
                held.release()
                released = time.monotonic()
            lock.check()
            if not relay_batch(connection, publisher, held):
                self._wait_for_more(connection)
                publisher.keep_alive()

    def _wait_for_more(self, connection: Connection) -> None:
        """Return when the database has something to say, or after POLL_SECONDS.

        The next query reads the notification off the connection, so it needs no reading here.
        """
        driver = connection.connection.driver_connection
        if driver is None:
            return
        if driver.notifies:  # it came in with the last query's answer
            driver.notifies.clear()
            return
        with suppress(_NoNews):
            eventlet.hubs.trampoline(driver.fileno(), read=True, timeout=POLL_SECONDS, timeout_exc=_NoNews)

    def _pause(self, seconds: float) -> None:
        """Sleep, but not past a stop by more than a moment."""
        until = seconds
        while until > 0 and not self._stopping:
            eventlet.sleep(min(until, 0.1))
            until -= 0.1


def _first_line(error: BaseException) -> str:
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        error = error.orig  # without SQLAlchemy's remarks
    return str(error).strip().partition("\n")[0] or type(error).__name__


class _Overtaken(Exception):
    """The relay was not there for a while."""

    def __str__(self) -> str:
        return "it was frozen, and another may have taken over"


class _NoNews(Exception):
    """Nothing came in within the poll."""
