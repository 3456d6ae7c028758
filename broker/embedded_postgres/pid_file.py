"""postmaster.pid: what a server says of itself, and what is to be believed of it.

The number in it may be anybody's by now (a power cut, a container that was killed), and a copy of a folder
names the original's server. A process is a folder's server if it is a PostgreSQL that works in this very one.
"""

import os
from pathlib import Path

import psutil

from . import processes
from .account import Account

NAME = "postmaster.pid"
# The lines of PostgreSQL's src/include/utils/pidfile.h, from 0.
PID, DATA_FOLDER, SOCKET_FOLDER, STATUS = 0, 1, 4, 7
HIGHEST_PID = 2**31 - 1
MOST_BYTES = 8192


def postmaster(cluster: Path) -> psutil.Process | None:
    """The process that serves this folder; where it ends meanwhile, its `send_signal` reaches no other."""
    pid = _pid(_lines(cluster))
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
    except (psutil.Error, OSError):
        return None
    return process if processes.serves(process, cluster) else None


def ready_socket_folder(cluster: Path) -> Path | None:
    """Where this folder's server listens, once it does."""
    lines = _lines(cluster)
    if len(lines) <= STATUS or not lines[STATUS].startswith(b"ready") or postmaster(cluster) is None:
        return None
    return Path(os.fsdecode(lines[SOCKET_FOLDER]))


def other_folder(cluster: Path) -> Path | None:
    """Where the file says that its server worked, if that is another folder than this."""
    lines = _lines(cluster)
    own = os.fsencode(cluster).splitlines()[0]  # a path may have lines, too
    if len(lines) <= SOCKET_FOLDER or lines[DATA_FOLDER] == own:
        return None
    return Path(os.fsdecode(lines[DATA_FOLDER]))


def disown(cluster: Path, account: Account) -> None:
    """Before a start, when no server of ours is there: whom the file names must not keep us from it.

    PostgreSQL does not start over a file that says nothing, that it may not read, or that names a living
    process of the same user. In the latter we put ourselves: it takes its parent's number for an old one, and
    still looks, as for any stale file, whether somebody uses the shared memory that the file names.
    """
    path = cluster / NAME
    lines = _lines(cluster)
    pid = _pid(lines)
    if pid is None:
        path.unlink(missing_ok=True)
    elif psutil.pid_exists(pid) or not account.owns(path):
        path.unlink()
        path.write_bytes(b"\n".join([str(os.getpid()).encode(), *lines[1:], b""]))
        account.give(path)
        path.chmod(0o600)


def _lines(cluster: Path) -> list[bytes]:
    path = cluster / NAME
    try:
        if not path.is_file():  # to open a pipe would be to wait for its writer
            return []
        with path.open("rb") as file:
            return file.read(MOST_BYTES).splitlines()
    except OSError:
        return []


def _pid(lines: list[bytes]) -> int | None:
    try:
        pid = int(lines[PID])
    except (IndexError, ValueError):
        return None
    return pid if 0 < pid <= HIGHEST_PID else None
