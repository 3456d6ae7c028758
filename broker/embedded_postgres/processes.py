"""The processes of a server, found by where they work: each has the folder of its data as its own."""

import os
from pathlib import Path

import psutil

NAME = "postgres"


def serves(process: psutil.Process, cluster: Path) -> bool:
    """Whether it is a living PostgreSQL on this very folder; where we may not look, it is not."""
    try:
        return (
            process.name() == NAME
            and os.path.samefile(process.cwd(), cluster)
            and process.status() != psutil.STATUS_ZOMBIE
        )
    except (psutil.Error, OSError):
        return False


def of(cluster: Path) -> list[psutil.Process]:
    """All there are, also those that a postmaster which was killed left behind."""
    return [process for process in psutil.process_iter() if serves(process, cluster)]
