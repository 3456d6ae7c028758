"""Backup and restore as commands, on real databases and the embedded ones."""

from __future__ import annotations

import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.backup import running
from broker.backup.failures import BackupFailed
from tests import backups
from tests.backups import command, environment, fill, kept, migrate, refusal, restored, written
from tests.platforms import Databases, Embedded, connect
from tests.processes import ROOT, wait_until
from tests.servers import ServerUrls

RUN_SECONDS = 60
FILM_OF_0002 = """
    INSERT INTO movies
        (title, director, description, genre, genres, trigrams, poster_url, kind, created_at, updated_at)
    VALUES ('The Lighthouse', '', '', '', '{}', '{}', '', 'movie', now(), now())
"""


@pytest.fixture(scope="module")
def filled(servers: ServerUrls) -> Iterator[Databases]:
    """Databases that no test changes."""
    made = Databases.create(servers.postgres)
    migrate(made)
    fill(made)
    yield made
    made.drop()


@pytest.fixture(scope="module")
def backup(filled: Databases, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("backup") / "a backup.tar.gz", environment(filled))


def number(url: str, question: str) -> int:
    connection = connect(url)
    with connection.cursor() as cursor:
        cursor.execute(question)
        (answer,) = cursor.fetchone() or (0,)
    connection.close()
    return int(answer)


def test_a_backup_is_ours_alone_and_says_what_it_holds(backup: Path) -> None:
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert [each.name for each in backup.parent.iterdir()] == [backup.name]
    said = command("verify", backup)
    assert said.returncode == 0, said.stderr
    assert f"{len(backups.PEOPLE):>16}  users" in said.stdout.splitlines()


def test_what_was_backed_up_is_there_again_with_nothing_of_after_it(
    filled: Databases, backup: Path, databases: Databases
) -> None:
    migrate(databases)
    held = number(databases.movies, "SELECT count(*) FROM reviews")
    assert restored(backup, environment(databases)).number == 2
    assert held == 0
    assert kept(databases) == kept(filled)
    connection = connect(databases.auth)
    with connection.cursor() as cursor:
        cursor.execute(backups.USER, ["of the lost time", "lost@example.com"])
    connection.close()
    line = refusal("restore", backup, environment=environment(databases))
    assert f"auth holds {len(backups.PEOPLE) + 1} users, movies holds" in line
    assert "REPLACE=yes" in line
    restored(backup, environment(databases), replace=True)
    assert kept(databases) == kept(filled)


def test_one_of_the_two_alone(filled: Databases, backup: Path, databases: Databases) -> None:
    migrate(databases)
    restored(backup, environment(databases), "auth")
    assert kept(databases)["auth"] == kept(filled)["auth"]
    assert number(databases.movies, "SELECT count(*) FROM movies") == 0


def test_a_backup_of_an_older_release_is_migrated(
    databases: Databases, servers: ServerUrls, tmp_path: Path
) -> None:
    migrate(databases, "0002")
    connection = connect(databases.auth)
    with connection.cursor() as cursor:
        cursor.execute(backups.USER, ["Zoë", "ZOË@example.com"])
    connection.close()
    connection = connect(databases.movies)
    with connection.cursor() as cursor:
        cursor.execute(FILM_OF_0002)
        cursor.execute("INSERT INTO movie_stats SELECT id, 1, 0, 0, '-Infinity' FROM movies")
    connection.close()
    file = written(tmp_path / "old.tar.gz", environment(databases))
    target = Databases.create(servers.postgres)
    restored(file, environment(target))
    assert number(target.auth, "SELECT count(*) FROM users WHERE username_key = 'zoë'") == 1
    assert number(target.movies, "SELECT count(*) FROM movies WHERE title_key LIKE '%lighthouse%'") == 1
    line = refusal("restore", file, environment=environment(databases))
    assert line.startswith("auth holds 1 users, movies holds 1 movies")
    target.drop()


def test_a_session_of_the_services_role_is_a_platform_that_runs(
    backup: Path, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(databases)
    somebody = connect(databases.movies)
    with monkeypatch.context() as patched:
        patched.setattr(running, "LEAVING_SECONDS", 0)
        with pytest.raises(BackupFailed) as refused:
            restored(backup, environment(databases))
    assert "somebody is at work in the database of movies" in str(refused.value)
    assert str(somebody.get_backend_pid()) in str(refused.value)
    somebody.close()
    restored(backup, environment(databases))


def test_tables_of_somebody_else_do_not_vanish(backup: Path, databases: Databases) -> None:
    migrate(databases)
    connection = connect(databases.movies)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE figures AS SELECT 1 AS one")
    connection.close()
    line = refusal("restore", backup, environment=environment(databases))
    assert "tables that are not the platform's (figures)" in line
    assert "nothing was changed" in line
    assert number(databases.movies, "SELECT one FROM figures") == 1


def test_from_make_run_into_real_servers_and_back(
    embedded: Embedded, databases: Databases, tmp_path: Path
) -> None:
    out = written(tmp_path / "out.tar.gz", embedded.environment)
    line = refusal("restore", out, environment=embedded.environment)
    assert "a platform is running on it" in line
    restored(out, environment(databases))
    back = written(tmp_path / "back.tar.gz", environment(databases))
    elsewhere = {**embedded.environment, "DATA_FOLDER": str(tmp_path / "data")}
    restored(back, elsewhere)
    again = written(tmp_path / "again.tar.gz", elsewhere)
    assert rows(again) == rows(back)


def rows(file: Path) -> list[str]:
    """`<count>  <table>` each, but for the histories, one of which more begins with each restore."""
    said = command("verify", file).stdout.splitlines()
    return [line for line in said if line.startswith("    ") and not line.endswith("  history")]


def test_a_file_of_that_name_stays(filled: Databases, backup: Path) -> None:
    before = backup.read_bytes()
    line = refusal("write", "--file", backup, environment=environment(filled))
    assert "is there already" in line
    assert backup.read_bytes() == before


def test_a_full_disk_is_one_line_and_no_file(filled: Databases, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    ended = subprocess.run(
        [sys.executable, "-m", "broker.backup", "write", "--file", tmp_path / "full.tar.gz"],
        cwd=ROOT,
        env={**environment(filled), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS,
        preexec_fn=limit,
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].endswith("full.tar.gz: File too large; no file was written")
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_interrupted_it_leaves_nothing_and_says_so(filled: Databases, tmp_path: Path) -> None:
    """It waits for a writer that does not end, and is ended meanwhile."""
    writer = connect(filled.movies)
    writer.autocommit = False
    with writer.cursor() as cursor:
        cursor.execute("LOCK TABLE outbox IN ROW EXCLUSIVE MODE")
    process = subprocess.Popen(
        [sys.executable, "-m", "broker.backup", "write", "--file", tmp_path / "none.tar.gz"],
        cwd=ROOT,
        env={**environment(filled), "PATH": ""},
        stderr=subprocess.PIPE,
        text=True,
    )
    gate = "SELECT count(*) FROM pg_locks WHERE relation = 'outbox'::regclass AND mode = 'ShareLock'"
    wait_until(lambda: number(filled.movies, gate) > 0, RUN_SECONDS, "it waits for the writer")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=RUN_SECONDS)
    assert process.returncode == 128 + signal.SIGTERM
    assert said.splitlines()[-1] == "ended by SIGTERM; no file was written"
    assert list(tmp_path.iterdir()) == []
    writer.close()


ANNOUNCED = "INSERT INTO outbox (source, type, envelope) VALUES ('x', 'x', '{}')"


class Writers:
    """Accounts that are opened, and then review, as fast as the databases take it."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(each,)) for each in range(3)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _work(self, of: int) -> None:
        auth, movies = connect(self._databases.auth), connect(self._databases.movies)
        turn = 0
        while not self._ended.is_set():
            turn += 1
            name = f"writer {of} {turn}"
            with auth.cursor() as cursor:
                cursor.execute(f"BEGIN; {ANNOUNCED}; {backups.USER} RETURNING id", [name, name])
                (user,) = cursor.fetchone() or (0,)
                cursor.execute("COMMIT")
            with movies.cursor() as cursor:
                cursor.execute(f"BEGIN; {ANNOUNCED}; {backups.REVIEW}; COMMIT", [of + 1, user, name, name])
        auth.close()
        movies.close()


def test_both_are_as_of_one_moment(databases: Databases, servers: ServerUrls, tmp_path: Path) -> None:
    migrate(databases)
    fill(databases)
    with Writers(databases):
        files = [written(tmp_path / f"{each}.tar.gz", environment(databases)) for each in range(2)]
    for file in files:
        target = Databases.create(servers.postgres)
        restored(file, environment(target))
        connection = connect(target.movies)
        with connection.cursor() as cursor:
            cursor.execute("SELECT DISTINCT user_id FROM reviews")
            reviewers = {user for (user,) in cursor}
        connection.close()
        connection = connect(target.auth)
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM users")
            users = {user for (user,) in cursor}
        connection.close()
        target.drop()
        assert len(reviewers) > len(backups.PEOPLE)
        assert reviewers <= users
        assert None not in reviewers
        # What was announced in the one and not done in the other is what was under way, one thing a writer.
        assert len(users - reviewers) <= 3
