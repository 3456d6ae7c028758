"""What outlasts a power cut."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Have what was renamed or made in it be there after a power cut. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
