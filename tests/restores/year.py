"""A year of an installation in cycles: load, a backup, kills, full disks, a restore, an upgrade, and on.

Everything that was acknowledged is in a ledger, and is looked for after each step.
"""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TypeVar

import requests
from alembic import command

from broker.backup import databases, migrating
from broker.backup.databases import Sessions
from broker.backup.manifest import DatabaseName
from broker.config import Settings
from tests import backups
from tests.clients import Api
from tests.platforms import Embedded, wait_until_ready
from tests.restores import judgement
from tests.restores.ledger import BY, Ledger, Person, Review

BEFORE = "0003"  # the schema of the release before, from which each cycle's data are upgraded
LOADING_SECONDS = 2.0
PEOPLE = 3  # more in each step, who all write
SOME = 10
DISK_BYTES = 512 * 2**20
SMALL_BYTES = 256 * 1024
MOST_AT_ONCE = 2**20
PARTS: tuple[DatabaseName, ...] = ("auth", "movies")

Thing = TypeVar("Thing")


@dataclass
class Found:
    counts: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, list[str]] = field(
        default_factory=lambda: {
            what: []
            for what in (
                "lost",
                "doubled",
                "seen by another",
                "tokens that outlived a restore",
                "went otherwise",
            )
        }
    )

    def count(self, what: str, by: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + by


def cycles(number: int, folder: Path, rng: random.Random) -> Found:
    """So many, on the platform as `make run` starts it, its data on a small disk of their own."""
    with _disk(folder / "disk", DISK_BYTES) as disk, _disk(folder / "small", SMALL_BYTES) as small:
        installation = Installation(disk, small, folder, rng)
        installation.start()
        try:
            for cycle in range(1, number + 1):
                began = time.monotonic()
                installation.cycle(cycle)
                installation.found.count("cycles")
                wrong = sum(map(len, installation.found.wrong.values()))
                print(
                    f"cycle {cycle}: {time.monotonic() - began:.0f} s, {wrong} wrong",
                    file=sys.stderr,
                    flush=True,
                )
        finally:
            installation.platform.stop()
    installation.found.count("accounts", len(installation.ledger.people))
    installation.found.count("reviews", len(installation.ledger.reviews))
    return installation.found


@contextlib.contextmanager
def _disk(folder: Path, size: int) -> Iterator[Path]:
    """A small file system of its own, as root alone can make one."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@dataclass(frozen=True)
class Saved:
    """What a backup must hold: all that was acknowledged before it began."""

    reviews: list[Review]
    people: list[Person]


class Installation:
    """The platform, who has an account there, and what was found wrong."""

    def __init__(self, disk: Path, small: Path, folder: Path, rng: random.Random) -> None:
        self.platform = Embedded(folder)
        self.platform.environment["DATA_FOLDER"] = str(disk / "data")
        self._small, self._folder, self._disk, self._rng = small, folder, disk, rng
        self.ledger, self.found = Ledger(), Found()
        self._names = count(1)
        self._certain: list[Person] = []  # whom the platform must know
        self._passed = 0  # of those in the ledger, so many are among them, lost, or in between

    @property
    def gateway(self) -> str:
        return self.platform.gateways[0]

    def start(self) -> None:
        self.platform.start()

    def cycle(self, number: int) -> None:
        with self._load():
            time.sleep(LOADING_SECONDS)
        saved = Saved(self.ledger.reviews.copy(), self._certain + self.ledger.people[self._passed :])
        with self._load():
            file = self._backup(number)
        known = len(self.ledger.people)  # or half known, of those who came while it was written
        with self._load():
            self._kill()
        self._look("after a kill", self.ledger.reviews)
        with self._load():
            self._fill_disk()
        self._be_ready()
        self._look("after a full disk", self.ledger.reviews)
        self._restore(file, saved)
        self._look("after a restore", saved.reviews)
        self._certain, self._passed = saved.people, len(self.ledger.people)
        self._sign_in(saved.people, self.ledger.people[known:])
        file.unlink()

    @contextlib.contextmanager
    def _load(self) -> Iterator[None]:
        """New people review and look at themselves; what fails is not acknowledged, and not counted."""
        people = [self.ledger.register(self.gateway, f"person-{next(self._names)}") for _ in range(PEOPLE)]
        film = self.ledger.film(self.gateway, people[0], f"Film {next(self._names)}")
        ended = threading.Event()
        threads = [threading.Thread(target=self._act, args=(person, film, ended)) for person in people]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    def _act(self, person: Person, film: int, ended: threading.Event) -> None:
        """One review a film, so each one wants another."""
        api = person.at(self.gateway)
        while not ended.is_set():
            title = f"{BY}{person.name} no-{next(self._names)}"
            with contextlib.suppress(requests.RequestException):
                answer = api.post(f"/api/movies/{film}/reviews", {"title": title, "rating": 8})
                if answer.status_code == 201:
                    self.ledger.keep(Review(answer.json()["id"], title, film, person, self.ledger.era))
                answer = api.post("/api/movies", {"title": f"Film {title}"})
                if answer.status_code == 201:
                    film = answer.json()["id"]
                    with self.ledger.lock:
                        self.ledger.given["film", film].add(title)
                me = api.get("/api/auth/me")
                if me.status_code == 200 and me.json()["username"] != person.name:
                    self.found.wrong["seen by another"].append(f"{person.name} sees {me.json()['username']}")

    def _backup(self, number: int) -> Path:
        """Into a full disk first, which leaves nothing."""
        full = backups.command("write", "--file", self._small / "x", environment=self.platform.environment)
        if full.returncode != 1 or any(self._small.iterdir()):
            self.found.wrong["went otherwise"].append(f"a backup on a full disk: {full.stderr[-200:]}")
        file = self._folder / f"cycle-{number}.tar.gz"
        ended = backups.command("write", "--file", file, environment=self.platform.environment)
        assert ended.returncode == 0, ended.stderr
        self.found.count("backups")
        return file

    def _kill(self) -> None:
        """SIGKILL, and a start."""
        time.sleep(self._rng.uniform(0.2, 1.5))
        process = self.platform.process
        assert process is not None
        process.signal(signal.SIGKILL)
        process.wait()
        self.platform.start()
        self.found.count("kills")

    def _fill_disk(self) -> None:
        """Nothing more fits on the disk of the data for a while."""
        filler = self._disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(MOST_AT_ONCE))
        time.sleep(LOADING_SECONDS)
        filler.unlink()
        self.found.count("full disks")

    def _be_ready(self) -> None:
        """Within a while, or an operator starts it again."""
        process = self.platform.process
        assert process is not None
        try:
            wait_until_ready(self.platform.gateways, self.platform.notifiers, [process])
        except AssertionError:
            self.found.count("started again after a full disk")
            process.stop()
            self.platform.start()

    def _restore(self, file: Path, saved: Saved) -> None:
        """The backup, put back to the schema of the release before, which the next start upgrades."""
        self.platform.stop()
        ended = backups.command("restore", file, "--replace", environment=self.platform.environment)
        assert ended.returncode == 0, ended.stderr
        self._downgrade()
        self.ledger.era += 1
        self.ledger.reviews = saved.reviews.copy()
        self.platform.start()
        self.found.count("restores")
        self.found.count("upgrades")

    def _downgrade(self) -> None:
        settings = Settings.model_validate(self.platform.environment)
        with databases.opened(settings, alone=True) as urls:
            for part in PARTS:
                with Sessions().transaction(urls[part]) as connection:
                    config = migrating.config(part)
                    config.attributes["connection"] = connection
                    command.downgrade(config, BEFORE)
                    connection.commit()

    def _look(self, when: str, reviews: list[Review]) -> None:
        """What of those reviews is not there, and all else that must not be."""
        wrong = self.found.wrong
        settings = Settings.model_validate(self.platform.environment)
        with databases.opened(settings, alone=False) as urls:
            movies = urls["movies"]
            there = dict(judgement.rows(movies, "SELECT id, title FROM reviews"))
            wrong["lost"] += [f"{when}: {each.title}" for each in reviews if there.get(each.id) != each.title]
            wrong["doubled"] += judgement.doubled(movies, self.ledger)
            wrong["seen by another"] += judgement.others_seen(self.gateway, movies, self.ledger)
            wrong["tokens that outlived a restore"] += judgement.tokens_of_before(self.gateway, self.ledger)
        for review in self._some(reviews):
            answer = Api(self.gateway).get(f"/api/reviews/{review.id}")
            if answer.status_code != 200 or answer.json()["title"] != review.title:
                wrong["lost"].append(f"{when}: {review.title} over REST: {answer.status_code}")

    def _sign_in(self, saved: list[Person], lost: list[Person]) -> None:
        """Some of whom the backup knows do, and see themselves; some of those who came later do not."""
        for people, status in ((saved, 200), (lost, 401)):
            for person in self._some(people):
                answer = self.ledger.sign_in(self.gateway, person)
                if answer.status_code != status:
                    self.found.wrong["went otherwise"].append(f"{person.name} signs in: {answer.status_code}")

    def _some(self, among: Sequence[Thing]) -> Sequence[Thing]:
        return self._rng.sample(among, min(len(among), SOME))
