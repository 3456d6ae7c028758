"""`make new-history`: after somebody else's restore (a base backup and its WAL, a snapshot of the disk)."""

from datetime import datetime
from functools import partial

from broker import new_history
from broker.backup import databases, migrating, tables, together, watch
from broker.backup.databases import Sessions, Urls
from broker.backup.failures import BackupFailed
from broker.backup.watch import Progress
from broker.config import Settings
from broker.history import History


def begin(settings: Settings, went_back_to: datetime | None) -> History:
    """Begin a new history of both databases, which are as of `went_back_to` or, without it, as of the last
    thing written in them. Raises ConfigurationError and BackupFailed; then nothing has changed.
    """
    progress, sessions = Progress(), Sessions()
    with databases.opened(settings, alone=True) as urls:
        work = partial(_begin, settings, sessions, urls, went_back_to, progress)
        return watch.run(work, sessions, urls, progress)


def _begin(
    settings: Settings, sessions: Sessions, urls: Urls, went_back_to: datetime | None, progress: Progress
) -> History:
    with together.alone(settings, sessions, urls) as both:
        for name, connection in both.writing.items():
            if tables.revision(connection) is None:
                raise BackupFailed(f"{name}: the database has no tables of the platform yet")
            migrating.upgrade(name, connection)
        begun = new_history.start_new(both.writing, {"auth": None, "movies": None}, went_back_to)
        progress.be_final()
        both.commit()
    return begun
