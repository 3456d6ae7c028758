"""Back to a moment between two backups, by PostgreSQL's own log, as docs/operations.md says."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import backups
from tests.platforms import Databases, connect
from tests.processes import ROOT, wait_until
from tests.servers import Postgres
from tests.servers.postgres import postgres_account, postgres_program

DOCUMENT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
DEADLINE_SECONDS = 60


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def documented(setting: str) -> str:
    """What the page says it is set to."""
    found = re.search(rf"{setting} = '(.*)'", DOCUMENT)
    assert found is not None
    return found[1]


def give(folder: Path) -> None:
    """To whom PostgreSQL runs as."""
    if account := postgres_account():
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, account.uid, account.gid)


def ask(url: str, question: str, *values: object) -> list[tuple[object, ...]]:
    connection = connect(url)
    with connection.cursor() as cursor:
        cursor.execute(question, values or None)
        rows = cursor.fetchall() if cursor.description else []
    connection.close()
    return rows


def add(databases: Databases, name: str) -> int:
    ((user,),) = ask(databases.auth, f"{backups.USER} RETURNING id", name, f"{name}@example.com")
    assert isinstance(user, int)
    return user


def archiving(stack: ExitStack) -> tuple[Postgres, Path]:
    """A server that keeps its log, and where."""
    server = stack.enter_context(Postgres())
    wal = server.folder / "wal"
    wal.mkdir()
    give(wal)
    command = documented("archive_command").replace("/mnt/wal", str(wal))
    ask(server.url, "ALTER SYSTEM SET archive_mode = 'on'")
    ask(server.url, "ALTER SYSTEM SET archive_command = %s", command)
    server.stop()
    server.start()
    return server, wal


def recovered(stack: ExitStack, base: Path, wal: Path, moment: object) -> Postgres:
    """A server on a copy of the base backup, which has gone through the log until then."""
    server = Postgres()
    data = server.folder / "data"
    shutil.move(base, data)
    settings = {
        "restore_command": documented("restore_command").replace("/mnt/wal", str(wal)),
        "recovery_target_time": str(moment),
        "recovery_target_action": documented("recovery_target_action"),
        "archive_mode": "off",
    }
    with (data / "postgresql.auto.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    (data / "recovery.signal").touch()
    give(data)
    stack.enter_context(server)
    wait_until(
        lambda: ask(server.url, "SELECT pg_is_in_recovery()") == [(False,)],
        DEADLINE_SECONDS,
        "it has gone back to the moment",
    )
    return server


def test_back_to_a_moment_and_on_in_a_new_history(stack: ExitStack) -> None:
    first, wal = archiving(stack)
    databases = Databases.create(first.url)
    backups.migrate(databases)
    backups.fill(databases)
    base = first.folder / "base"
    at = f"--dbname={first.url.replace('+psycopg2', '')}"
    command = [postgres_program("pg_basebackup"), at, "--pgdata", base, "--checkpoint=fast"]
    subprocess.run(command, check=True, timeout=DEADLINE_SECONDS)
    kept = add(databases, "kept")
    ((moment,),) = ask(databases.auth, "SELECT clock_timestamp()")
    lost = add(databases, "lost")
    first.stop()  # which has the rest of the log archived
    server = recovered(stack, base, wal, moment)

    there = Databases(
        server.url,
        databases.auth.replace(str(first.port), str(server.port)),
        databases.movies.replace(str(first.port), str(server.port)),
    )
    assert ask(there.auth, "SELECT username FROM users WHERE id >= %s", kept) == [("kept",)]
    ended = backups.command("new-history", "--as-of", str(moment), environment=backups.environment(there))
    assert ended.returncode == 0, ended.stderr
    assert "History 2 begins" in ended.stdout
    assert add(there, "somebody else") > lost
    assert ask(there.auth, "SELECT * FROM signing_keys") == []
