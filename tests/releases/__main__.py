"""`python -m tests.releases`: this release and the one before in all mixtures under load; tables on stdout.

Exit code 1 where a mixture that docs/upgrading.md promises fails a request.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kombu

from broker.rpc_client import consumers_of
from tests.chaos.report import Check, Result, Table, put_into
from tests.platforms import wait_until_ready
from tests.processes import wait_until
from tests.releases import ROLES, TwoReleases
from tests.releases.walk import Walks
from tests.servers import PrivateServers, ServerUrls

SECONDS = 60
# What has to be of this release before a part of it may be started.
NEEDS = {"auth": ("gateway", "notifications"), "notifications": (), "gateway": (), "movies": ()}
ORDER = ("movies", "notifications", "gateway", "auth")
TWO_OF_EACH = {"auths": 2, "movies": 2, "notifiers": 2, "gateways": 2}


def is_promised(new: set[str]) -> bool:
    return all(set(NEEDS[role]) <= new for role in new)


def mixture(servers: ServerUrls, new: set[str], seconds: float, threads: int) -> Walks:
    """One part of each kind, those in `new` of this release, on its schema."""
    walks = Walks()
    with tempfile.TemporaryDirectory(prefix="releases-") as folder:
        two = TwoReleases(servers, Path(folder), [f"{role}-0" for role in ROLES if role not in new])
        with ended(two):
            two.migrate_as_before()
            two.migrate()
            for part in two.parts:
                two.start_part(part)
            wait_until_ready(two.gateways, two.notifiers, two.processes)
            until = time.monotonic() + seconds
            walks.in_threads(
                lambda: (two.gateways[0], two.notifiers[0]), lambda: time.monotonic() > until, threads
            )
    return walks


@contextmanager
def ended(two: TwoReleases) -> Iterator[None]:
    try:
        yield
    finally:
        two.stop()


class Upgrade:
    """From the release before to this one, part by part, and back, while people walk."""

    def __init__(self, servers: ServerUrls, folder: Path, threads: int) -> None:
        self.two = TwoReleases(servers, folder, [f"{role}-0" for role in ROLES], TWO_OF_EACH)
        self.walks = Walks()
        self.steps: list[list[str]] = []
        self._threads = threads
        self._number = dict.fromkeys(ROLES, 0)
        self._over = threading.Event()

    def doors(self) -> tuple[str, str]:
        two, number = self.two, self._number
        return two.gateways[number["gateway"]], two.notifiers[number["notifications"]]

    def run(self) -> None:
        two = self.two
        two.migrate_as_before()
        for role in ROLES:
            two.start_part(f"{role}-0")
        wait_until_ready([two.gateways[0]], [two.notifiers[0]], two.processes)
        walking = threading.Thread(
            target=self.walks.in_threads, args=(self.doors, self._over.is_set, self._threads)
        )
        walking.start()
        try:
            self._step("make migrate", two.migrate)
            for role in ORDER:
                self._step(f"{role}: this release", lambda role=role: self._replace(role, 1))
            for role in reversed(ORDER):
                self._step(f"{role}: back to the release before", lambda role=role: self._replace(role, 0))
        finally:
            self._over.set()
            walking.join()

    def _replace(self, role: str, number: int) -> None:
        two = self.two
        part = two.start_part(f"{role}-{number}")
        if role in ("gateway", "notifications"):
            wait_until_ready([two.gateways[number]] if role == "gateway" else [], [], [part])
            wait_until_ready([], [two.notifiers[number]] if role == "notifications" else [], [part])
        else:
            wait_until(lambda: self._consumers(role) == 2, SECONDS, "it takes calls beside the other one")
        self._number[role] = number
        self._wait_for_new_walks()  # those under way are at the old doors
        gone = two.process(f"{role}-{1 - number}")
        gone.terminate()
        assert gone.wait() == 0, gone.tail()

    def _consumers(self, role: str) -> int:
        with kombu.Connection(self.two.servers.amqp) as connection:
            return consumers_of(connection, f"rpc-{role}")

    def _step(self, what: str, deed: object) -> None:
        before, walked, began = Counter(self.walks.failures), self.walks.requests, time.monotonic()
        print(what, file=sys.stderr)
        deed()  # type: ignore[operator]
        self._wait_for_new_walks()
        failed = self.walks.failures - before
        self.steps.append(
            [what, f"{time.monotonic() - began:.0f} s", str(self.walks.requests - walked), shown(failed)]
        )

    def _wait_for_new_walks(self) -> None:
        ends = self.walks.walks + 2 * self._threads
        wait_until(lambda: self.walks.walks >= ends, SECONDS, "people go on")


def shown(failures: Counter[str]) -> str:
    worst = ", ".join(f"{what} ({count})" for what, count in failures.most_common(2))
    return f"{failures.total()}: {worst}" if failures else "0"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.releases", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=5, help="each mixture is walked through (%(default)g)"
    )
    parser.add_argument("--threads", type=int, default=3, help="people at once (%(default)d)")
    parser.add_argument("--report", type=Path, help="put the tables between the marks of this page")
    options = parser.parse_args()
    command = f"python -m tests.releases --seconds {options.seconds:g} --threads {options.threads}"
    mixed, upgraded = Result("mixtures", command), Result("upgrade", command)
    with PrivateServers(environment={}) as servers, tempfile.TemporaryDirectory() as folder:
        rows = []
        for count in range(len(ROLES) + 1):
            for new in map(set, itertools.combinations(ROLES, count)):
                walks = mixture(servers.urls, new, options.seconds, options.threads)
                promised = is_promised(new)
                named = ["**this**" if role in new else "before" for role in ROLES]
                rows.append([*named, str(walks.walks), str(walks.requests), shown(walks.failures)])
                rows[-1].append("yes" if promised else "no: auth is last")
                print(rows[-1], file=sys.stderr)
                if promised:
                    what = f"failures with {', '.join(sorted(new)) or 'nothing'} of this release"
                    mixed.details.append(Check.none(what, list(walks.failures.elements())))
        mixed.table = Table((*ROLES, "walks", "requests", "failed", "promised"), rows)
        upgrade = Upgrade(servers.urls, Path(folder), options.threads)
        with ended(upgrade.two):
            upgrade.run()
        upgraded.table = Table(("step", "took", "requests meanwhile", "failed walks"), upgrade.steps)
        upgraded.checks = [Check.none("failed walks", list(upgrade.walks.failures.elements()))]
    for result in (mixed, upgraded):
        print(f"## {result.scenario}\n\n{result.markdown()}\n", flush=True)
        if options.report:
            put_into(options.report, result)
    return 1 if mixed.failed or upgraded.failed else 0


if __name__ == "__main__":
    sys.exit(main())
