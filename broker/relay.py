"""The outbox relay: publishes what `broker.outbox` recorded, in order, each confirmed by the broker.

Any number of processes run one; an advisory lock lets a single one work per database, and the others wait
to take over. Two at once would reorder a movie's events.
"""

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import eventlet
import eventlet.hubs
import kombu
from amqp.exceptions import AMQPError
from kombu.exceptions import KombuError
from nameko.constants import PERSISTENT
from nameko.extensions import DependencyProvider
from sqlalchemy import Connection, Row, create_engine, delete, exc, select, text
from sqlalchemy.pool import NullPool

from broker import config
from broker.events import exchange
from broker.outbox import CHANNEL, OUTBOX
from broker.rpc_client import open_connection

_log = logging.getLogger(__name__)

# Any number that nothing else in these databases locks; the same for every relay of a database.
ADVISORY_LOCK = 0x0B0C5
POLL_SECONDS = 0.5  # notifications are a hint, this is the truth
TAKEOVER_SECONDS = 1.0
RETRY_SECONDS = 1.0
BATCH_ROWS = 100
PUBLISH_SECONDS = 5
TRANSPORT_OPTIONS = {"confirm_publish": True}
# Where the configuration may hold an eventlet Event that the relays wait for.
GATE = "RELAY_GATE"
BROKER_ERRORS = (AMQPError, KombuError, OSError)


class OutboxRelay(DependencyProvider):
    """Runs the relay of one database beside a service. It injects nothing.

    `url_setting` names the setting of the database's URL, `source` the service whose events it relays.
    """

    def __init__(self, url_setting: str, source: str) -> None:
        self.url_setting = url_setting
        self.source = source
        self._thread: Any = None
        self._stopping = False

    def start(self) -> None:
        self._thread = self.container.spawn_managed_thread(
            self._run, identifier=f"{self.source} outbox relay"
        )

    def stop(self) -> None:
        """Finish the batch at work and let go of the lock, so that another relay takes over at once."""
        self._stopping = True
        self._thread.wait()

    def _run(self) -> None:
        # A broker in memory keeps nothing for queues to come: there relaying begins when all are there.
        if (gate := self.container.config.get(GATE)) is not None:
            gate.wait()
        settings = config.settings(self.container.config)
        # The lock lives as long as this connection, so it is kept out of every pool.
        database = create_engine(
            getattr(settings, self.url_setting),
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            # pg_stat_activity then tells which process relays.
            connect_args={"connect_timeout": 3, "application_name": f"outbox relay of process {os.getpid()}"},
        )
        while not self._stopping:
            try:
                with database.connect() as connection:
                    self._relay(connection, settings.AMQP_URI)
            except (exc.OperationalError, exc.InterfaceError, _Stalled, *BROKER_ERRORS) as error:
                _log.warning("the %s relay starts again: %s", self.source, _first_line(error))
                self._pause(RETRY_SECONDS)

    def _relay(self, connection: Connection, amqp_uri: str) -> None:
        while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_LOCK}):
            self._pause(TAKEOVER_SECONDS)
            if self._stopping:
                return
        _log.info("relaying the %s outbox", self.source)
        connection.execute(text(f"LISTEN {CHANNEL}"))
        with open_connection(amqp_uri, TRANSPORT_OPTIONS) as broker:
            with eventlet.Timeout(PUBLISH_SECONDS, _Stalled):
                broker.ensure_connection(max_retries=0)
                producer = broker.Producer(exchange=exchange(self.source), serializer="json")
                producer.maybe_declare(producer.exchange)
            while not self._stopping:
                rows = connection.execute(select(OUTBOX).order_by(OUTBOX.c.id).limit(BATCH_ROWS)).all()
                self._publish(connection, producer, rows)
                if len(rows) < BATCH_ROWS:
                    self._wait_for_more(connection)

    def _publish(self, connection: Connection, producer: kombu.Producer, rows: Sequence[Row[Any]]) -> None:
        for row in rows:
            # Persistent and confirmed: the call returns once the broker answers for the event.
            with eventlet.Timeout(PUBLISH_SECONDS, _Stalled):
                producer.publish(row.envelope, routing_key=row.type, delivery_mode=PERSISTENT)
        if rows:
            connection.execute(delete(OUTBOX).where(OUTBOX.c.id.in_([row.id for row in rows])))

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
    return str(error).strip().partition("\n")[0] or type(error).__name__


class _Stalled(Exception):
    """The broker takes nothing."""

    def __str__(self) -> str:
        return f"the broker took nothing for {PUBLISH_SECONDS} s"


class _NoNews(Exception):
    """Nothing came in within the poll."""
