"""The folder of a cluster: whether it is whole, half made, somebody's, or a copy of another."""

import shutil
import sys
from pathlib import Path

from broker.config import ConfigurationError

from . import pid_file
from .programs import MAJOR

CONTROL = "global/pg_control"
FIRST_OID_OF_USERS = 16384  # PostgreSQL's FirstNormalObjectId: its own databases are below
# What initdb and a server put into the folder itself, and carrying over (`predecessor`) besides.
OWN_NAMES = ("PG_VERSION", "base", "global", "pg_*", "postgresql*.conf", "postmaster.*", "current_logfiles")
COPYING_NAMES = ("*.dump", "carried-over")


def is_missing(cluster: Path) -> bool:
    """Whether there is no folder yet, or one with nothing in it, which a new one may take the place of."""
    return not cluster.exists() or (cluster.is_dir() and not any(cluster.iterdir()))


def check(cluster: Path) -> None:
    """Before a start, under the lock. Says where it is a copy of a running one.

    Raises ConfigurationError, one line, where it is not a whole folder of this release's, or not its own.
    """
    for name in ("PG_VERSION", CONTROL):
        if not (cluster / name).is_file():
            raise ConfigurationError(
                f"{cluster}: is not whole ({name} is not there): put a whole copy of the data there, or move "
                "the folder away to begin anew"
            )
    version = (cluster / "PG_VERSION").read_text(encoding="ascii", errors="replace").strip()
    if version != str(MAJOR):
        raise ConfigurationError(
            f"{cluster}: data of PostgreSQL {version or '(none)'}, and this release reads those of {MAJOR}"
        )
    if (cluster / CONTROL).stat().st_nlink > 1:
        raise ConfigurationError(
            f"{cluster}: its files are those of another folder, too (hard links), and a server here would "
            "write to both: make a copy of its own (cp -a) and start on that"
        )
    if other := pid_file.other_folder(cluster):
        print(
            f"{cluster}: was copied or moved from {other} while a server ran there; it is recovered as after "
            "a crash, and `make backup` is the way to a copy that is sure to be whole",
            file=sys.stderr,
            flush=True,
        )


def has_databases(cluster: Path) -> bool:
    """Whether somebody has made a database in it: initdb's own are not anybody's."""
    made = [each.name for each in (cluster / "base").glob("*") if each.name.isdecimal()]
    return any(int(name) >= FIRST_OID_OF_USERS for name in made)


def remove_unfinished(unfinished: Path, *, is_copy: bool) -> None:
    """Make room for a new start of its making. `is_copy`: all the databases in it are elsewhere, too.

    Raises ConfigurationError where it holds what may be somebody's.
    """
    if not unfinished.exists():
        return
    names = (*OWN_NAMES, *COPYING_NAMES)
    strange = [each.name for each in unfinished.iterdir() if not any(each.match(name) for name in names)]
    if strange or (has_databases(unfinished) and not is_copy):
        what = strange[0] if strange else "databases"
        raise ConfigurationError(
            f"{unfinished}: was left half made, and holds what is not made again ({what}): move it away"
        )
    shutil.rmtree(unfinished)
