"""Alembic's histories of the two databases, run on connections of ours."""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from broker.backup.failures import BackupFailed
from broker.backup.manifest import DatabaseName

ROOT = Path(__file__).resolve().parents[2]


def config(name: DatabaseName) -> Config:
    """Alembic's, for that database."""
    return Config(ROOT / "alembic.ini", ini_section=name)


def knows(name: DatabaseName, revision: str) -> bool:
    """Whether this release has that revision of the schema."""
    try:
        return ScriptDirectory.from_config(config(name)).get_revision(revision) is not None
    except CommandError:
        return False


def head(name: DatabaseName) -> str:
    return ScriptDirectory.from_config(config(name)).get_current_head() or ""


def upgrade(name: DatabaseName, connection: Connection, revision: str = "head") -> None:
    """In the transaction that is open on `connection`. Raises BackupFailed."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    of_this_one = config(name)
    of_this_one.attributes["connection"] = connection
    try:
        command.upgrade(of_this_one, revision)
    except CommandError as error:
        raise BackupFailed(f"{name}: {error}") from error
