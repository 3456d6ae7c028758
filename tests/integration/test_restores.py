"""The short forms of tests/restores: a drill on real servers, a few kills, and a restore broken off."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from broker import unfinished
from broker.backup import together
from tests import backups
from tests.backups import environment, fill, kept, migrate, restored, written
from tests.chaos.stage import Stage
from tests.platforms import Databases
from tests.processes import PROGRAMS, run
from tests.restores.drills import Case, drill
from tests.restores.kills import Kills
from tests.servers import ServerUrls

KILLS = ("restore", "backup", "restore")


@pytest.mark.timeout(300)
def test_after_a_restore_nobody_has_what_was_anothers(stage: Stage, tmp_path: Path) -> None:
    found = drill(stage, Case(("auth", "movies"), kept=True), tmp_path)
    assert {what: wrong for what, wrong in found.items() if wrong} == {}


def test_whenever_it_is_killed_the_next_start_is_well(servers: ServerUrls, tmp_path: Path) -> None:
    kills = Kills(servers.postgres, tmp_path, random.Random(7))
    for what in KILLS:
        getattr(kills, what)()
    assert kills.found.wrong == []
    kills.databases.drop()


class Killed(BaseException):
    """As if by SIGKILL."""


def test_between_its_two_commits_nobody_takes_the_data(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(databases)
    fill(databases)
    file = written(tmp_path / "backup.tar.gz", environment(databases))
    before = kept(databases)

    def commit_one(both: together.Both) -> None:
        unfinished.mark(both.writing["movies"])
        both.writing["movies"].commit()
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(together.Both, "commit", commit_one)
        with pytest.raises(Killed):
            restored(file, environment(databases), replace=True)
    migrating = [PROGRAMS / "alembic", "-n", "movies", "upgrade", "head"]
    refused = run(migrating, environment(databases))
    assert refused.returncode != 0
    assert "a restore was broken off here" in refused.stderr + refused.stdout
    # What movies holds is nothing to be asked about: it is half of a restore.
    line = backups.refusal("restore", file, environment=environment(databases))
    assert "movies holds" not in line
    # One of the two will do, since the mark keeps what it stands over.
    restored(file, environment(databases), "auth", replace=True)
    assert kept(databases) == before
    assert run(migrating, environment(databases)).returncode == 0
