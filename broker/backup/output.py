"""The file under its name: there whole, or not at all."""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from broker.backup.failures import BackupFailed
from broker.disk import sync_folder

UNFINISHED = ".unfinished"
READABLE_BY_US_ALONE = 0o600

Result = TypeVar("Result")


class Output:
    """A file that is being written; what the system refuses is BackupFailed."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor
        self.size = 0

    def put(self, content: bytes) -> None:
        left = memoryview(content)
        while left:
            left = left[self._tried(lambda: os.write(self._descriptor, left)) :]  # noqa: B023 - called at once
        self.size += len(content)

    def sync(self) -> None:
        """Return once it outlasts a power cut."""
        self._tried(lambda: os.fsync(self._descriptor))

    def _tried(self, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except OSError as error:
            raise BackupFailed(f"{self._path}: {error.strerror}; no file was written") from error


@contextmanager
def whole_file(path: Path, *, replace: bool) -> Iterator[Output]:
    """A new file, which gets the name `path` at the end of the `with`, and is gone where that raises.

    Raises BackupFailed where there is one of that name, and `replace` is not said.
    """
    if path.exists() and not replace:
        raise BackupFailed(f"{path} is there already: choose another name by FILE=, or say REPLACE=yes")
    if path.exists() and not path.is_file():
        raise BackupFailed(f"{path} is no file")
    remove_unfinished(path.parent)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, READABLE_BY_US_ALONE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        output = Output(path, descriptor)
        yield output
        output.sync()
        _name(unfinished, path, replace=replace)
    finally:
        os.close(descriptor)
        unfinished.unlink(missing_ok=True)
    sync_folder(path.parent)


def remove_unfinished(folder: Path) -> None:
    """What a backup that was killed left behind; whoever still writes one holds its lock."""
    for left in folder.glob(f".*{UNFINISHED}"):
        with suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _name(unfinished: Path, path: Path, *, replace: bool) -> None:
    if replace:
        unfinished.replace(path)
        return
    try:
        os.link(unfinished, path)  # which never replaces another
    except FileExistsError:
        raise BackupFailed(f"{path} has come to be there meanwhile") from None
    except OSError:  # a file system without links
        unfinished.rename(path)
