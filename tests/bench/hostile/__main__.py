"""Stalled, flooding and malformed clients beside healthy ones, on the full deployment with one notifier.

`python -m tests.bench.hostile --seconds 60` has 500 healthy listeners hear reviews at 20 a second, first by
themselves, then beside 50 clients that join their room and never read again, 50 that send messages, joins,
pongs and pings as fast as they can, and 50 that connect again and again to send what is no Socket.IO.
Printed: how much the notifier's memory grew at the most, milliseconds from the POST to the median and the
last healthy listener, how many of them were lost or missed a review, and what became of the hostile, by kind.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.crowd import deployment_for
from tests.bench.figures import spread
from tests.bench.hostile.storm import Outcome, Plan, Storm
from tests.bench.listeners import Listeners
from tests.bench.reviews import Posting, Reviews
from tests.bench.usage import PeakMemory, cpu_seconds, rss_kib
from tests.clients import sign_up
from tests.platforms import FullDeployment

ROOM = "all"
MOVIES = 20
CONNECT_SECONDS = 60
SLOWEST = 10  # reviews, of which is said when they were posted
HEAR_SECONDS = 30  # for what was posted last
QUIET_SECONDS = 5
GATHER_SECONDS = 3  # for the hostile to come in
AFTERWARDS_SECONDS = 5
OTHERS = 100  # sockets beside the healthy and the hostile that the address may have


@dataclass(frozen=True)
class Size:
    healthy: int
    stalled: int
    flooding: int
    malformed: int
    rate: float  # reviews a second
    seconds: float
    pause: float
    body_bytes: int
    flood_here: bool

    @property
    def quiet(self) -> range:
        """The numbers of the reviews before the hostile ones come."""
        return range(int(self.rate * QUIET_SECONDS))

    @property
    def stormy(self) -> range:
        first = len(self.quiet)
        return range(first, first + int(self.rate * self.seconds))


def measure(deployment: FullDeployment, program: Path, size: Size) -> None:
    gateway = deployment.gateways[0]
    port = urlsplit(deployment.notifiers[0]).port
    assert port
    pid = deployment.process("notifications-0").pid
    reviews = Reviews(gateway, size.stormy.stop, MOVIES, size.body_bytes)
    culprit = sign_up(gateway)
    plan = Plan(
        port=port,
        room=ROOM,
        flooded_room=ROOM if size.flood_here else "genre:flooded",
        user_id=culprit.id,
        token=culprit.token,
        stalled=size.stalled,
        flooding=size.flooding,
        malformed=size.malformed,
        pause=size.pause,
    )
    with Listeners(program, port, size.healthy, [ROOM]) as listeners:
        listeners.wait_ready(CONNECT_SECONDS)
        post(reviews, listeners, size.quiet, size.rate)
        show("by themselves", reviews, listeners, size.quiet)
        with PeakMemory(pid) as memory, Storm(plan) as storm:
            time.sleep(GATHER_SECONDS)
            cpu, began = cpu_seconds(pid), time.monotonic()
            post(reviews, listeners, size.stormy, size.rate)
            cpu = (cpu_seconds(pid) - cpu) / (time.monotonic() - began)
            outcomes = storm.finish()
        show("beside the hostile", reviews, listeners, size.stormy)
        time.sleep(AFTERWARDS_SECONDS)
        heard = listeners.finish()
    deployment.process("notifications-0").check()
    print(
        f"  healthy listeners lost {len(heard.lost)}, reviews that some missed {len(heard.partly)}, heard by "
        f"nobody {len(reviews.posted) - len(heard.whole) - len(heard.partly)}, twice {heard.twice}\n"
        f"  the notifier: {memory.before_kib / 1024:.0f} MiB before, at the most "
        f"{memory.growth_kib / 1024:.1f} MiB more, {rss_kib(pid) / 1024:.0f} MiB {AFTERWARDS_SECONDS} s "
        f"afterwards; {cpu:.2f} cores",
        flush=True,
    )
    for kind, outcome in sorted(outcomes.items()):
        print(f"  {kind}: {told(outcome)}")


def post(reviews: Reviews, listeners: Listeners, numbers: range, rate: float) -> None:
    """Post, and return once all listeners heard it, or HEAR_SECONDS later."""
    with Posting(reviews, numbers, rate) as posting:
        posting.join()
    listeners.has_heard([number for number in numbers if number in reviews.posted], HEAR_SECONDS)


def show(when: str, reviews: Reviews, listeners: Listeners, numbers: range) -> None:
    whole = {n: receipt for n, receipt in listeners.heard.whole.items() if n in numbers}
    posted = [n for n in numbers if n in reviews.posted]
    began = [reviews.posted[number] for number in posted]
    rate = (len(began) - 1) / (max(began) - min(began)) * 1e9 if len(began) > 1 else 0
    print(
        f"{when}: {len(posted)} reviews at {rate:.1f} a second, {len(reviews.refused)} refused, "
        f"{len(whole)} heard by all"
    )
    for who in ("median", "last"):
        times = [(getattr(receipt, who) - reviews.posted[n]) / 1e6 for n, receipt in whole.items()]
        print(f"  from the POST to the {who} healthy listener: {spread(times, 'ms')}", flush=True)
    slowest = sorted(whole, key=lambda n: whole[n].last - reviews.posted[n])[-SLOWEST:]
    after = [round((reviews.posted[n] - min(began)) / 1e9, 1) for n in sorted(slowest)]
    print(f"  the {len(after)} slowest were posted after {after} s", flush=True)


def told(outcome: Outcome) -> str:
    parts = [f"closed {len(outcome.closed)}"]
    if outcome.closed:
        parts[0] += f" ({spread(outcome.closed, 's')})"
    others = {"outlasted": outcome.outlasted, "open": outcome.open, "refused": outcome.refused}
    parts += [f"{what} {count}" for what, count in others.items() if count]
    return ", ".join([*parts, f"sent {outcome.sent / 2**20:,.1f} MiB"])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.hostile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--healthy", type=int, default=500)
    parser.add_argument("--stalled", type=int, default=50)
    parser.add_argument("--flooding", type=int, default=50)
    parser.add_argument("--malformed", type=int, default=50)
    parser.add_argument("--rate", type=float, default=20, help="reviews a second (default: 20)")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument(
        "--pause",
        type=float,
        default=0.1,
        help="seconds before a malformed client connects again (default: 0.1)",
    )
    parser.add_argument("--body-bytes", type=int, default=1000, help="of a review's text (default: 1000)")
    parser.add_argument(
        "--flood-here", action="store_true", help="signed-in clients flood the room of the healthy"
    )
    size = Size(**vars(parser.parse_args()))
    sockets = size.healthy + size.stalled + size.flooding + size.malformed + OTHERS
    with deployment_for(sockets) as (deployment, program):
        measure(deployment, program, size)


if __name__ == "__main__":
    main()
