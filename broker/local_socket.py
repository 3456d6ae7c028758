"""Where a platform that is one process listens for its operators: a socket in its data folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "shell.sock"
MOST_ADDRESS_BYTES = 100  # sun_path has 108 on Linux, 104 elsewhere


@contextmanager
def address(folder: Path) -> Iterator[str]:
    """The socket's address, good for the length of a `with`. Linux has a short one for a folder of any path.

    Raises OSError where there is no such folder.
    """
    path = folder / NAME
    if len(os.fsencode(path)) <= MOST_ADDRESS_BYTES:
        yield str(path)
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)
