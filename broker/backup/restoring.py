"""`make restore`: what a file holds in the place of what the databases hold, as a new history.

Everything is made ready in one transaction of each database, and nothing is changed before both can be
committed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, text

from broker import new_history, unfinished
from broker.backup import archive, databases, migrating, tables, together, watch
from broker.backup.databases import Sessions, Urls
from broker.backup.failures import BackupFailed, BadFile
from broker.backup.manifest import DatabaseName, Manifest
from broker.backup.tables import Shape
from broker.backup.watch import Progress
from broker.config import Settings
from broker.history import History
from broker.new_history import Marks
from broker.release import VERSION

# What people would miss, by database.
TELLING: dict[DatabaseName, tuple[str, ...]] = {"auth": ("users",), "movies": ("movies", "reviews")}


@dataclass(frozen=True)
class Plan:
    """What is restored: these databases of the file; the others of the platform stay, in the new history."""

    path: Path
    only: Collection[DatabaseName]
    replace: bool


def restore(settings: Settings, plan: Plan) -> History:
    """The history that begins. Raises ConfigurationError, BackupFailed (BadFile among them) and OSError; then
    nothing has changed.
    """
    progress, sessions = Progress(), Sessions()
    progress.say(f"reading {plan.path} ...")
    try:
        manifest = archive.verify(plan.path, progress)
        _check(manifest, plan.only)
    except BadFile as error:
        raise BadFile(f"{plan.path}: {error}; nothing was changed") from error
    progress.say(
        f"whole: of {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC, by release {manifest.release}, "
        f"{watch.megabytes(sum(piece.size for piece in manifest.pieces))} of rows"
    )
    with databases.opened(settings, alone=True) as urls:
        work = partial(_restore, settings, plan, manifest, _Means(sessions, urls, progress))
        return watch.run(work, sessions, urls, progress)


@dataclass(frozen=True)
class _Means:
    sessions: Sessions
    urls: Urls
    progress: Progress


@dataclass(frozen=True)
class _Before:
    """What is replaced. `marks` are None where there never was anything."""

    revision: str | None
    shapes: list[Shape]
    marks: Marks | None


def _before(connection: Connection) -> _Before:
    shapes = tables.shapes(connection)
    marks = new_history.marks(connection) if shapes else None
    return _Before(tables.revision(connection), shapes, marks)


def _check(manifest: Manifest, only: Collection[DatabaseName]) -> None:
    for name in only:
        if name not in manifest.databases:
            raise BadFile(f"it does not hold the database of {name}")
        if not migrating.knows(name, manifest.databases[name].revision):
            raise BadFile(
                f"it is of a newer release ({manifest.release}, {name} {manifest.databases[name].revision}), "
                f"and this is {VERSION}"
            )


def _restore(settings: Settings, plan: Plan, manifest: Manifest, means: _Means) -> History:
    with together.alone(settings, means.sessions, means.urls) as both:
        if not plan.replace:
            _refuse_data({name: both.beside[name] for name in plan.only})
        before = {name: _before(both.writing[name]) for name in plan.only}
        with archive.pieces(plan.path, manifest, means.progress) as pieces:
            for name, held in manifest.databases.items():
                connection = both.writing[name] if name in plan.only else None
                if connection is not None:
                    tables.drop_everything(connection)
                    migrating.upgrade(name, connection, held.revision)
                _fill(name, manifest, pieces, connection, means.progress)
        for name, connection in both.writing.items():
            migrating.upgrade(name, connection)
            if name in plan.only:
                _refuse_strangers(name, connection, before[name])
            tables.analyze(connection)
        went_back = {name: each.marks for name, each in before.items()}
        begun = new_history.start_new(both.writing, went_back, manifest.taken_at)
        means.progress.be_final()
        both.commit()
    return begun


def _refuse_data(connections: Mapping[DatabaseName, Connection]) -> None:
    held = []
    for name, connection in connections.items():
        if unfinished.is_marked(connection):
            continue
        known = {shape.name for shape in tables.shapes(connection)}
        for table in TELLING[name]:
            count = connection.scalar(text(f"SELECT count(*) FROM {table}")) if table in known else 0  # noqa: S608
            if count:
                held.append(f"{name} holds {count:,} {table}")
    if held:
        raise BackupFailed(
            f"{', '.join(held)}: say REPLACE=yes (--replace) to have them replaced; nothing was changed"
        )


def _fill(
    name: DatabaseName,
    manifest: Manifest,
    pieces: archive.PieceReader,
    connection: Connection | None,
    progress: Progress,
) -> None:
    """The rows of a database; without a connection they are passed over."""
    if connection is None:
        for table in manifest.databases[name].tables:
            pieces.skip(name, table.name)
        return
    tables.empty(connection)
    known = {shape.name for shape in tables.shapes(connection)}
    for table in manifest.databases[name].tables:
        if table.name not in known:
            progress.say(f"  {name}.{table.name} is no table of the platform: left out")
            pieces.skip(name, table.name)
            continue
        shape = Shape(table.name, table.columns)
        indexes = tables.take_indexes_off(connection, shape)
        rows = tables.copy_in(connection, shape, pieces.rows(name, table.name))
        if rows != table.rows:
            raise BadFile(f"{name}.{table.name} has {rows} rows, and {table.rows} were written")
        for index in indexes:
            progress(0)
            connection.exec_driver_sql(index)
        progress.say(f"  {name}.{table.name}: {rows:,} rows")
    there = tables.sequences(connection)
    for sequence, last in manifest.databases[name].sequences.items():
        if last is not None and sequence in there:
            tables.set_sequence(connection, sequence, last)


def _refuse_strangers(name: DatabaseName, connection: Connection, before: _Before) -> None:
    """Tables that somebody else keeps there are not to vanish."""
    if before.revision != migrating.head(name):
        return  # what an older release had may have been given up since
    strangers = {shape.name for shape in before.shapes} - {shape.name for shape in tables.shapes(connection)}
    if strangers:
        raise BackupFailed(
            f"the database of {name} holds tables that are not the platform's "
            f"({', '.join(sorted(strangers))}): move them into another schema; nothing was changed"
        )
