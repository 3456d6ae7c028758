"""Backups and restores killed at random moments: what is there is what was, or what was to be."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from alembic import command

from broker.backup import migrating
from broker.backup.manifest import DatabaseName
from tests import backups
from tests.platforms import Databases, connect
from tests.processes import ROOT

RUN_SECONDS = 120
PATIENCE_SECONDS = 20


@dataclass
class Found:
    """How many were killed in time, how each restore was found, and what was wrong."""

    killed: int = 0
    states: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def count(self, state: str) -> None:
        self.states[state] = self.states.get(state, 0) + 1


class Kills:
    """On two databases that hold one state, with a file that holds another."""

    def __init__(self, server: str, folder: Path, rng: random.Random) -> None:
        self.databases, self._folder, self._rng = Databases.create(server), folder, rng
        self._environment = backups.environment(self.databases)
        backups.migrate(self.databases)
        backups.fill(self.databases)
        self.found = Found()
        self._file = backups.written(folder / "kept.tar.gz", self._environment)
        self._of_the_file = backups.kept(self.databases)
        self._took = {"write": 2.0, "restore": 3.0}

    def backup(self) -> None:
        """Kill one that writes: no file, or a whole one; and the next one is well."""
        before = backups.kept(self.databases)
        path = self._folder / "killed.tar.gz"
        self._kill("write", "--file", path)
        if path.exists():
            self.found.count("backup: whole")
            if backups.command("verify", path).returncode:
                self.found.wrong.append("half a file under its name")
            path.unlink()
        else:
            self.found.count("backup: no file")
        backups.written(path, self._environment).unlink()
        if [each.name for each in self._folder.glob(".*")]:
            self.found.wrong.append("left behind by a backup that was killed")
        if backups.kept(self.databases) != before:
            self.found.wrong.append("a backup changed something")

    def restore(self) -> None:
        """Kill one that restores: everything as before, or as in the file, or neither and said so; and one
        more restore, and a migration, are well.
        """
        self._live_on()
        before = backups.kept(self.databases)
        self._kill("restore", self._file, "--replace")
        after = backups.kept(self.databases)
        migrated = self._migration()
        if after == before and migrated:
            self.found.count("restore: as before")
        elif after == self._of_the_file and migrated:
            self.found.count("restore: done")
        elif not migrated:
            self.found.count("restore: refused until it is done")
        else:
            self.found.wrong.append("half of a restore, and nobody says so")
        backups.restored(self._file, self._environment, replace=True)
        if backups.kept(self.databases) != self._of_the_file or not self._migration():
            self.found.wrong.append("the restore after it did not end well")

    def _live_on(self) -> None:
        """Something that the file does not hold."""
        for url in (self.databases.auth, self.databases.movies):
            connection = connect(url)
            with connection.cursor() as cursor:
                name = f"lost {time.monotonic_ns()}"
                if url == self.databases.auth:
                    cursor.execute(backups.USER, [name, name])
                else:
                    cursor.execute(backups.REVIEW, [self._rng.randrange(1, 400), None, name, ""])
            connection.close()

    def _migration(self) -> bool:
        """Whether a service's migration takes both databases."""
        parts: tuple[DatabaseName, ...] = ("auth", "movies")
        for part in parts:
            config = migrating.config(part)
            config.attributes.update(url=getattr(self.databases, part), patience=PATIENCE_SECONDS)
            try:
                command.upgrade(config, "head")
            except SystemExit:
                return False
        return True

    def _kill(self, *words: str | Path) -> None:
        """SIGKILL the command and all that it started, at a moment of the time that it last took."""
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "broker.backup", *words],
            cwd=ROOT,
            env={**os.environ, **self._environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        name = str(words[0])
        try:
            process.wait(self._rng.uniform(0, self._took[name]))
            self._took[name] = time.monotonic() - began
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(RUN_SECONDS)
            self.found.killed += 1
