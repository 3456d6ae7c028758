"""Both databases changed together, with nobody else at work in them."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, text

from broker import unfinished
from broker.backup import running
from broker.backup.databases import Sessions, Urls
from broker.backup.manifest import DatabaseName
from broker.config import Settings
from broker.migration import MIGRATION_LOCK


@dataclass(frozen=True)
class Both:
    """A transaction of each database, and a connection in autocommit beside it."""

    writing: Mapping[DatabaseName, Connection]
    beside: Mapping[DatabaseName, Connection]

    def commit(self) -> None:
        """Both. Movies' is the first, with a mark, under which nobody serves or migrates it, until auth's is
        there, too. Killed in between, one more restore or new history puts it right.
        """
        unfinished.mark(self.writing["movies"])
        self.writing["movies"].commit()
        self.writing["auth"].commit()
        unfinished.take_mark_off(self.beside["movies"])


@contextmanager
def alone(settings: Settings, sessions: Sessions, urls: Urls) -> Iterator[Both]:
    """Both for the length of the `with`, in which no relay announces and nobody migrates.

    Raises BackupFailed where a platform runs on them.
    """
    with ExitStack() as stack:
        beside = {name: stack.enter_context(sessions.connection(url)) for name, url in urls.items()}
        running.refuse(settings, beside)
        writing = {name: stack.enter_context(sessions.transaction(url)) for name, url in urls.items()}
        for connection in writing.values():
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            unfinished.take_mark_off(connection)
        yield Both(writing, beside)
