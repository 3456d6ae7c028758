"""Whether a platform runs on the databases: nothing is put under its feet."""

import sys
import time
import warnings
from collections.abc import Mapping

from amqp import NotFound
from sqlalchemy import Connection, text

from broker.backup.databases import application_name
from broker.backup.failures import BackupFailed
from broker.backup.manifest import DatabaseName
from broker.config import Settings
from broker.rpc_client import bounded_connection

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # eventlet announces its retirement
    from broker.relay_lock import DEPLOYMENT_LOCK

LEAVING_SECONDS = 3.0  # in which the sessions of services that have just ended are gone
POLL_SECONDS = 0.1

_DEPLOYMENT = text("SELECT pg_try_advisory_lock(:key)").bindparams(key=DEPLOYMENT_LOCK)
_OTHERS = text(
    """
    SELECT pid, application_name FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND backend_type = 'client backend'
        AND pid <> pg_backend_pid() AND application_name <> :ours
    ORDER BY pid
    """
)


def refuse(settings: Settings, connections: Mapping[DatabaseName, Connection]) -> None:
    """Raises BackupFailed where services have sessions in a database, or take calls at the broker.

    Until the connections end no relay announces anything from their databases.
    """
    deadline = time.monotonic() + LEAVING_SECONDS
    for name, connection in connections.items():
        while (found := _at_work(connection)) is not None:
            if time.monotonic() > deadline:
                raise BackupFailed(
                    f"somebody is at work in the database of {name}: stop the platform, and all else that "
                    f"has a session there: {found}"
                )
            time.sleep(POLL_SECONDS)
    if not settings.in_memory:
        _refuse_consumers(settings)


def _at_work(connection: Connection) -> str | None:
    """Who is; if nobody is, the lock of those who announce is ours from now on."""
    others = connection.execute(_OTHERS, {"ours": application_name()}).all()
    if others:
        return ", ".join(f"{row.pid} ({row.application_name or 'of no name'})" for row in others)
    return None if connection.scalar(_DEPLOYMENT) else "a relay"


def _refuse_consumers(settings: Settings) -> None:
    for service in ("auth", "movies"):
        try:
            with bounded_connection(settings.AMQP_URI, settings.TRANSPORT_OPTIONS) as broker:
                queue = broker.default_channel.queue_declare(f"rpc-{service}", passive=True)
        except NotFound:
            continue  # there is no such queue, so nobody takes from it
        except Exception as error:
            print(f"RabbitMQ is not asked whether services run ({type(error).__name__})", file=sys.stderr)
            return
        if queue.consumer_count:
            raise BackupFailed(f"{service} takes calls at the broker: stop the platform first")
