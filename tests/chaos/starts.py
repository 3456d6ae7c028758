"""`python -m tests.chaos.starts`: `make run` is killed at random moments of its start, and started again.

Every other round is a first start on nothing; the others are on data of the release with another PostgreSQL,
which is carried over and migrated. In half of them the server's processes are killed with the platform, as
by a power cut. Then `postmaster.pid`, where there is one, names a program of somebody else's.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests

from broker.embedded_postgres import processes
from broker.first_signals import heeded
from tests.chaos import report
from tests.chaos.report import Check, Result, Table
from tests.clients import Account, Api, sign_in, sign_up
from tests.integration.earlier_release import REVIEW, EarlierPostgres, fill
from tests.platforms import Embedded
from tests.processes import wait_until

STOPS = heeded()
NEW, EARLIER = "on nothing", "on an earlier release's data"
LATEST = 1.1  # of the time that a start takes: the last kills hit a platform that is up


@dataclass
class Found:
    """What went wrong, one line each, and in which stage of the start the kills came."""

    moments: dict[str, int] = field(default_factory=dict)
    not_started: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)  # that were harmed
    said: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


class Starts:
    """Rounds of kills in `folder`, each with a data folder of its own."""

    def __init__(self, folder: Path, rng: random.Random, kinds: Sequence[str] = (NEW, EARLIER)) -> None:
        self._folder = folder
        self._rng = rng
        self._kinds = kinds
        self._earlier = folder / "earlier"
        self._seconds: dict[str, float] = {}
        self._films: dict[str, int] = {}
        self.found = Found()

    def prepare(self) -> None:
        """Make the earlier release's data, and see how long a start takes that nobody kills."""
        if EARLIER in self._kinds:
            postgres = EarlierPostgres(self._earlier)
            fill(postgres)
            postgres.stop()
        for kind in self._kinds:
            platform = self._platform(kind, f"whole, {kind}")
            began = time.monotonic()
            platform.start()
            self._seconds[kind] = time.monotonic() - began
            self._films[kind] = films(platform)
            platform.stop()

    def kill(self, number: int) -> None:
        """One round: a kill in a start, another in a platform that runs, and a look at what is there."""
        kind = self._kinds[number % len(self._kinds)]
        platform = self._platform(kind, str(number))
        name = f"{number}, {kind}"
        with stranger() as bystander:
            platform.begin()
            time.sleep(self._rng.uniform(0, self._seconds[kind] * LATEST))
            self._strike(platform, bystander)
            try:
                account, review = self._works(platform, kind, name)
                time.sleep(self._rng.uniform(0, 1))
                self._strike(platform, bystander)
                platform.start()
                self._look(platform, kind, name)
                api = sign_in(platform.gateways[0], account.email).api
                if api.get(f"/api/reviews/{review}").status_code != 200:
                    self.found.lost.append(f"{name}: a review")
                self._end(platform, name)
            except AssertionError as error:
                print(f"{name}: {error}", file=sys.stderr)
                self.found.not_started.append(f"{name}: {str(error).splitlines()[-1]}")
            finally:
                if platform.process:
                    platform.process.end()
                self._wait_for_servers(platform)
            if not bystander.is_running() or bystander.status() == psutil.STATUS_ZOMBIE:
                self.found.strangers.append(name)
        shutil.rmtree(platform.folder)

    def _platform(self, kind: str, name: str) -> Killed:
        folder = self._folder / name
        folder.mkdir()
        if kind == EARLIER:
            subprocess.run(["cp", "-a", self._earlier, folder / "data"], check=True)
        return Killed(folder)

    def _strike(self, platform: Killed, bystander: psutil.Process) -> None:
        moment = platform.moment()
        self.found.moments[moment] = self.found.moments.get(moment, 0) + 1
        assert platform.process
        platform.process.end()
        if self._rng.random() < 0.5:
            for folder in platform.clusters():
                for process in processes.of(folder):
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
        self._wait_for_servers(platform)
        for folder in platform.clusters():
            pid_file = folder / "postmaster.pid"
            if pid_file.exists():
                lines = pid_file.read_text().splitlines()[1:]
                pid_file.write_text("\n".join([str(bystander.pid), *lines, ""]))

    def _wait_for_servers(self, platform: Killed) -> None:
        for folder in platform.clusters():
            wait_until(lambda folder=folder: not processes.of(folder), 30, "the killed one's server ends")

    def _works(self, platform: Killed, kind: str, name: str) -> tuple[Account, int]:
        platform.start()
        self._look(platform, kind, name)
        account = sign_up(platform.gateways[0])
        # Any there is: a load of the sample that was killed leaves out its ids.
        film = account.api.get("/api/movies/popular?limit=1").json()["data"][0]["id"]
        return account, account.api.create_review(film)

    def _look(self, platform: Killed, kind: str, name: str) -> None:
        if films(platform) != self._films[kind]:
            self.found.lost.append(f"{name}: {films(platform)} films of {self._films[kind]}")
        if kind == EARLIER:
            reviews = Api(platform.gateways[0]).get("/api/movies/42/reviews").json()["data"]
            if REVIEW not in [review["title"] for review in reviews]:  # beside one of ours, perhaps
                self.found.lost.append(f"{name}: the earlier release's review")

    def _end(self, platform: Killed, name: str) -> None:
        assert platform.process
        number = self._rng.choice(STOPS)
        platform.process.signal(number)
        code = platform.process.wait()
        if code != 0 or "Traceback" in platform.process.log.read_text():
            self.found.said.append(f"{name}: code {code} after {number.name}, or a traceback")
        if any(processes.of(folder) for folder in platform.clusters()):
            self.found.left.append(name)


class Killed(Embedded):
    """A platform that is killed before it is up."""

    def begin(self) -> None:
        self.process = self.launched()

    def clusters(self) -> list[Path]:
        folders = ("postgres-18", "postgres-18.unfinished", "postgres")
        return [path for path in (self.folder / "data" / name for name in folders) if path.exists()]

    def moment(self) -> str:
        """How far the start has come, by what is to be seen."""
        data = self.folder / "data"
        if not (data / "lock").exists():
            return "before it has the folder"
        if not (data / "postgres-18").exists():
            return "making the cluster"
        return "up" if answers(self.gateways[0]) else "starting the server, migrating"


def answers(gateway: str) -> bool:
    try:
        return Api(gateway).get("/health/live").status_code == 200
    except requests.RequestException:
        return False


def films(platform: Embedded) -> int:
    return len(Api(platform.gateways[0]).get("/api/movies?limit=1000").json())


@contextmanager
def stranger() -> Iterator[psutil.Process]:
    """A program that is none of the platform's."""
    with subprocess.Popen(["sleep", "100000"]) as process:
        try:
            yield psutil.Process(process.pid)
        finally:
            process.kill()


def run(starts: Starts, rounds: int, command: str) -> Result:
    starts.prepare()
    for number in range(rounds):
        print(f"starts: {number} of {rounds}; {starts.found.moments}", file=sys.stderr)
        starts.kill(number)
    found = starts.found
    checks = [
        Check.none("starts that did not come up after it", found.not_started),
        Check.none("films or reviews that are gone", found.lost),
        Check.none("programs of others that were harmed", found.strangers),
        Check.none("stops that were not silent, or whose code was not 0", found.said),
        Check.none("processes that a stop left behind", found.left),
    ]
    rows = [[moment, str(count)] for moment, count in sorted(found.moments.items())]
    return Result("starts", command, checks, Table(["killed while it was", "times"], rows))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.starts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="of two kills each (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is left to chance (%(default)s)")
    parser.add_argument("--report", type=Path, help="also put the tables between the marks in FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="starts-") as folder:
        Path(folder).chmod(0o711)
        command = f"python -m tests.chaos.starts --rounds {options.rounds} --seed {options.seed}"
        result = run(Starts(Path(folder), random.Random(options.seed)), options.rounds, command)
    print(result.markdown())
    if options.report:
        report.put_into(options.report, result)
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main())
