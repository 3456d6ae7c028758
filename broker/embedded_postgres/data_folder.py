"""The folder of the data: one platform at a time is on it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from broker.config import ConfigurationError

from . import account


@contextmanager
def alone_on(data: Path) -> Iterator[None]:
    """Two platforms on the same data would each publish half of the events."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "lock").open("w")
    except OSError as error:
        raise ConfigurationError(f"DATA_FOLDER {data}: cannot be written ({error.strerror})") from error
    with lock:
        account.share(lock.fileno(), data)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"DATA_FOLDER {data}: a platform is running on it already") from None
        yield
