"""Every way to start something of the platform, as people type it, with a settings file of theirs."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.processes import PROGRAMS

PYTHON = sys.executable
NAMEKO = PROGRAMS / "nameko"
ALEMBIC = PROGRAMS / "alembic"


def entry_points(config: Path) -> dict[str, list[str | Path]]:
    """By name, each to be run with CONFIG naming the settings file as well."""
    return {
        "make run": [PYTHON, "standalone.py", "--config", config],
        "set-role": [PYTHON, "standalone.py", "--config", config, "set-role", "alice", "admin"],
        **{
            f"nameko run {part}.service": [NAMEKO, "run", "--config", config, f"{part}.service"]
            for part in ("auth", "movies", "gateway")
        },
        "nameko shell": [NAMEKO, "shell", "--config", config],
        "make shell": [PYTHON, "-m", "broker.shell", "--config", config],
        "notifications": [PYTHON, "-m", "notifications", "--config", config],
        "broker.health": [PYTHON, "-m", "broker.health", "auth", "--config", config],
        "broker.accounts": [PYTHON, "-m", "broker.accounts", "permissions"],
        "movies.sample": [PYTHON, "-m", "movies.sample", "--config", config],
        "alembic -n auth": [ALEMBIC, "-n", "auth", "upgrade", "head"],
        "alembic -n movies": [ALEMBIC, "-n", "movies", "upgrade", "head"],
        "make settings": [PYTHON, "-m", "broker.config", "--config", config],
    }
