"""`make backup`: both databases at one agreed point into one file."""

from functools import partial
from pathlib import Path

from sqlalchemy import Connection, text

from broker import history_table
from broker.backup import archive, databases, output, point, watch
from broker.backup.databases import Sessions, Urls
from broker.backup.manifest import FORMAT, Database, DatabaseName, Manifest, Table
from broker.backup.tables import Shape, copy_out, revision, sequences
from broker.backup.watch import Progress
from broker.config import Settings
from broker.release import VERSION


def write(settings: Settings, path: Path, *, replace: bool) -> Path:
    """Write a backup to `path`; its absolute path. Raises ConfigurationError, BackupFailed and OSError."""
    progress, sessions = Progress(), Sessions()
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with output.whole_file(path, replace=replace) as file, databases.opened(settings, alone=False) as urls:
        writer = archive.Writer(file.put, progress)
        watch.run(partial(_write, writer, sessions, urls, progress), sessions, urls, progress)
    progress.say(f"written and synced: {watch.megabytes(file.size)}")
    return path


def _write(writer: archive.Writer, sessions: Sessions, urls: Urls, progress: Progress) -> None:
    written: dict[DatabaseName, Database] = {}
    with point.agreed(sessions, urls) as agreed:
        taken_at = agreed.at
        progress.say(
            f"both databases as of {taken_at:%Y-%m-%d %H:%M:%S} UTC; "
            f"writers waited {agreed.seconds * 1000:.0f} ms"
        )
        for name, connection in agreed.connections.items():
            written[name] = _write_database(writer, name, connection, agreed.shapes[name], progress)
    writer.close(
        Manifest(
            format=FORMAT,
            release=VERSION,
            taken_at=taken_at,
            databases=written,
            pieces=tuple(writer.pieces),
        )
    )


def _write_database(
    writer: archive.Writer,
    name: DatabaseName,
    connection: Connection,
    shapes: list[Shape],
    progress: Progress,
) -> Database:
    tables = []
    for shape in shapes:
        file = writer.rows(name, shape.name)
        rows = copy_out(connection, shape, file)
        file.close()
        progress.say(f"  {name}.{shape.name}: {rows:,} rows")
        tables.append(Table(name=shape.name, columns=shape.columns, rows=rows))
    knows_history = any(shape.name == "history" for shape in shapes)
    return Database(
        history=history_table.current(connection).id if knows_history else None,
        revision=revision(connection) or "",
        server=str(connection.scalar(text("SHOW server_version"))),
        tables=tuple(tables),
        sequences=sequences(connection),
    )
