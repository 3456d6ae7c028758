"""Both databases into one file, running or not, and back as a new history.

A backup's last line on standard output is the path of its file; what goes on is said on standard error.
"""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from psycopg2 import Error as DriverError
from sqlalchemy import exc

from broker import config
from broker.backup import archive, beginning, failures, restoring, watch, writing
from broker.backup.failures import BackupFailed, BadFile
from broker.backup.manifest import DatabaseName
from broker.backup.watch import Interrupted, Progress
from broker.config import ConfigurationError
from broker.history import History

FOLDER = Path("backups")
DATABASES: tuple[DatabaseName, ...] = ("auth", "movies")
FAILURES = (BackupFailed, OSError, exc.SQLAlchemyError, DriverError)


def main() -> int:
    """The exit code: 0, 1 where it cannot be done, 2 where a setting is wrong, 128 and more by a signal."""
    options = _parser().parse_args()
    try:
        with watch.signals_raise():
            return int(options.do(options) or 0)
    except Interrupted as error:
        print(f"{error}; {options.undone}", file=sys.stderr)
        return 128 + error.number
    except ConfigurationError as error:
        return config.refuse(error)
    except FAILURES as error:
        print(failures.line(error), file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m broker.backup",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--config", type=Path, default=config.path_from_environment(), help="settings file (%(default)s)"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    write = commands.add_parser("write", parents=[common], help="write a backup (`make backup`)")
    write.add_argument("--file", type=Path, help=f"where to ({FOLDER}/<time>.tar.gz)")
    write.add_argument("--replace", action="store_true", help="a file of that name is replaced")
    write.set_defaults(do=_write, undone="no file was written")
    restore = commands.add_parser("restore", parents=[common], help="restore one (`make restore FILE=...`)")
    restore.add_argument("file", type=Path)
    restore.add_argument("--database", choices=DATABASES, help="one of the two alone")
    restore.add_argument("--replace", action="store_true", help="what the databases hold is replaced")
    restore.set_defaults(do=_restore, undone="nothing was changed")
    verify = commands.add_parser(
        "verify", parents=[common], help="see whether a file is whole, and what it holds"
    )
    verify.add_argument("file", type=Path)
    verify.set_defaults(do=_verify, undone="nothing was changed")
    begin = commands.add_parser(
        "new-history", parents=[common], help="after a restore by other means (`make new-history`)"
    )
    begin.add_argument(
        "--as-of",
        type=_moment,
        metavar="TIME",
        help="the moment the databases went back to, such as 2030-01-31T04:00:00Z (the last thing in them)",
    )
    begin.set_defaults(do=_begin, undone="nothing was changed")
    return parser


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _write(options: argparse.Namespace) -> None:
    now = datetime.now(UTC)
    file = options.file or FOLDER / f"{now:%Y-%m-%dT%H-%M-%SZ}.tar.gz"
    written = writing.write(_settings(options), file, replace=options.replace)
    # A path may hold what the terminal's encoding cannot say; a program that reads it takes the bytes.
    sys.stdout.buffer.write(os.fsencode(written) + b"\n")
    sys.stdout.flush()


def _restore(options: argparse.Namespace) -> None:
    only = (options.database,) if options.database else DATABASES
    begun = restoring.restore(_settings(options), restoring.Plan(options.file, only, options.replace))
    print(f"restored: {' and '.join(only)}, as of the backup")
    _tell(begun)


def _begin(options: argparse.Namespace) -> None:
    _tell(beginning.begin(_settings(options), options.as_of))


def _tell(begun: History) -> None:
    print(
        f"History {begun.number} begins. Everybody has to sign in again, and rooms tell whoever comes back "
        "`recovered: false`. Nothing that was given out before is given out again."
    )


def _verify(options: argparse.Namespace) -> None:
    try:
        manifest = archive.verify(options.file, Progress())
    except BadFile as error:
        raise BadFile(f"{options.file}: {error}") from error
    print(f"whole: of {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC, by release {manifest.release}")
    for name, held in manifest.databases.items():
        history = held.history or "not known to it"
        print(f"  {name}: schema {held.revision}, history {history}, from PostgreSQL {held.server}")
        for table in held.tables:
            print(f"    {table.rows:>12,}  {table.name}")


def _settings(options: argparse.Namespace) -> config.Settings:
    return config.settings(config.read(options.config))
