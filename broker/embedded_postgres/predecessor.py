"""The data of the PostgreSQL that releases before this one embedded, carried over into the new cluster.

That wheel's was PostgreSQL 18, too, so the new one serves the old folder. Its databases must be made anew,
since they fold and sort text by the locale that whoever started it first had in the environment.
"""

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from sqlalchemy import create_engine, exc, pool, text

from broker.config import ConfigurationError

from . import cluster_folder, pid_file, programs, server
from .account import ourselves
from .server import Server

FOLDER = "postgres"
MARK = "carried-over"  # in the new cluster: what state of the old one it has
# Not the file in the folder: it may name a locale that is no longer there.
SETTINGS = {"config_file": "/dev/null", "max_connections": "10", "autovacuum": "off"}


def has_data(old: Path) -> bool:
    """Whether there is an old cluster that got any further than its own making.

    Raises ConfigurationError where it is one that cannot be read.
    """
    if not cluster_folder.has_databases(old):
        return False
    try:
        version = (old / "PG_VERSION").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        version = "an unknown version"
    if version != str(programs.MAJOR):
        raise ConfigurationError(
            f"{old}: data of PostgreSQL {version}, and this release reads those of {programs.MAJOR} alone: "
            f"dump its databases by PostgreSQL {version}'s pg_dump and restore them into real servers, "
            "or move the folder away to begin anew"
        )
    return True


def carry_over(old: Server, new: Server) -> None:
    """Copy every database of `old` into `new`, neither of which runs before or after.

    Nothing of the old one changes. Raises ConfigurationError, with what to do, where that cannot be.
    """
    _say(f"carrying over the databases of an earlier release from {old.folder}; they stay there, too")
    try:
        _end_what_is_left(old.folder)
        old.start(SETTINGS)
        new.start({})
        for name in server.databases(old.socket_folder):
            _copy(name, old, new)
        if not new.stop():
            raise ConfigurationError("the new server did not stop as it should")
    except (ConfigurationError, subprocess.CalledProcessError, exc.SQLAlchemyError, psutil.Error) as error:
        said = getattr(error, "stderr", None) or getattr(error, "orig", None) or error
        raise ConfigurationError(
            f"{old.folder}: could not be carried over, and is as it was ({' '.join(str(said).split())}); "
            "start this again when that is mended, or the release before this one"
        ) from error
    finally:
        new.stop()
        old.stop()
    mark = new.folder / MARK
    mark.write_text(_state(old.folder), encoding="ascii")
    new.account.give(mark)


def say_done(old: Path, cluster: Path) -> None:
    _say(f"carried over: the data are in {cluster} now, and {old} may be deleted")


def warn_of_late_writes(old: Path, cluster: Path) -> None:
    """An earlier release that is started once more writes where nobody reads any longer."""
    mark = cluster / MARK
    if mark.exists() and (state := _state(old)) and mark.read_text(encoding="ascii") != state:
        _say(
            f"{old} was written to after its data were carried over; what is new there is not in {cluster}. "
            "Delete one of the two to choose the other"
        )


def _copy(name: str, old: Server, new: Server) -> None:
    engine = create_engine(old.url(name), poolclass=pool.NullPool)
    with engine.connect() as connection:
        size = connection.scalar(text("SELECT pg_size_pretty(pg_database_size(current_database()))"))
    _say(f"  {name}, {size} ...")
    new.ensure_database(name)
    dump = new.folder / f"{name}.dump"
    run = programs.installation() / "bin"
    who = ("--username", server.SUPERUSER, "--no-password", "--no-owner", "--no-privileges")
    programs.run(
        run / "pg_dump",
        *who,
        "--format=custom",
        "--compress=0",
        f"--host={old.socket_folder}",
        f"--dbname={name}",
        f"--file={dump}",
        account=ourselves(),
        lock=new.lock,
    )
    programs.run(
        run / "pg_restore",
        *who,
        "--single-transaction",
        "--exit-on-error",
        f"--host={new.socket_folder}",
        f"--dbname={name}",
        dump,
        account=ourselves(),
        lock=new.lock,
    )
    dump.unlink()


def _end_what_is_left(old: Path) -> None:
    """End a server that the earlier release, which runs no longer, left behind when it was killed."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        left = pid_file.postmaster(old)
        if left is None:
            return
        left.send_signal(number)
        deadline = time.monotonic() + server.STOP_SECONDS
        while pid_file.postmaster(old) is not None and time.monotonic() < deadline:
            time.sleep(server.POLL_SECONDS)
    if pid_file.postmaster(old) is None:
        return
    raise ConfigurationError(f"a PostgreSQL of the earlier release still runs on {old}")


def _state(cluster: Path) -> str:
    """A name for what a stopped cluster holds, which every start of a server changes; empty without one."""
    try:
        return hashlib.sha256((cluster / "global" / "pg_control").read_bytes()).hexdigest()
    except OSError:
        return ""


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
