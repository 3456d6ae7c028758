"""Many sockets on one notifier for a while: what they cost, and whether any is lost.

`python -m tests.bench.soak --sockets 10000 --minutes 10` starts the full deployment with one notifier whose
limit of sockets an address is raised, connects the sockets, spread over some movies' rooms, and posts a
review every few seconds. Printed: the notifier's memory with all sockets, at the end and at its most, against
what it was before; how many sockets were lost; pings answered; milliseconds from the POST to the median and
the last listener of the room; CPU. Needs a hard limit of open files (ulimit -Hn) above the number of sockets.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.crowd import deployment_for
from tests.bench.figures import spread
from tests.bench.listeners import Heard, Listeners
from tests.bench.reviews import Posting, Reviews
from tests.bench.usage import PeakMemory, cpu_seconds, established, rss_kib
from tests.platforms import FullDeployment

CONNECT_SECONDS = 300
SETTLE_SECONDS = 2
HEAR_SECONDS = 30  # for what was posted last


@dataclass(frozen=True)
class Soak:
    sockets: int
    minutes: float
    rooms: int
    pause: float  # seconds from one review to the next

    @property
    def reviews(self) -> int:
        return max(1, int(self.minutes * 60 / self.pause))


def measure(deployment: FullDeployment, program: Path, soak: Soak) -> None:
    port = urlsplit(deployment.notifiers[0]).port
    assert port
    pid = deployment.process("notifications-0").pid
    reviews = Reviews(deployment.gateways[0], soak.reviews, soak.rooms)
    idle = rss_kib(pid)
    began = time.monotonic()
    with Listeners(program, port, soak.sockets, [str(movie) for movie in reviews.movies]) as listeners:
        listeners.wait_ready(CONNECT_SECONDS)
        print(f"{soak.sockets} sockets in {time.monotonic() - began:.1f} s", flush=True)
        time.sleep(SETTLE_SECONDS)
        connected, cpu, began = rss_kib(pid), cpu_seconds(pid), time.monotonic()
        with PeakMemory(pid) as memory:
            with Posting(reviews, range(soak.reviews), 1 / soak.pause, threads=1) as posting:
                posting.join()
            time.sleep(max(0.0, began + soak.minutes * 60 - time.monotonic()))
            listeners.has_heard(reviews.posted, HEAR_SECONDS)
        cpu, seconds = cpu_seconds(pid) - cpu, time.monotonic() - began
        at_the_end, open_still = rss_kib(pid), len(established(port))
        heard = listeners.finish()
    print(f"after {seconds / 60:.1f} minutes: {open_still} connections, {len(heard.lost)} sockets lost")
    for when, kib in (
        ("with all sockets", connected),
        ("at the end", at_the_end),
        ("at the most", memory.kib),
    ):
        grown = kib - idle
        print(f"  memory {when}: idle and {grown / 1024:,.0f} MiB, {grown / soak.sockets:.1f} KiB a socket")
    report(heard, reviews)
    print(f"  CPU of the notifier: {cpu:.1f} s, {cpu / seconds:.2f} cores", flush=True)


def report(heard: Heard, reviews: Reviews) -> None:
    print(f"  pings answered: {heard.pings}, the fewest by one socket {heard.fewest_pings}")
    print(
        f"  reviews: {len(reviews.posted)} posted, {len(reviews.refused)} refused, {len(heard.whole)} "
        f"heard by the whole room, twice {heard.twice}, strays {heard.strays}"
    )
    for who in ("median", "last"):
        times = [
            (getattr(receipt, who) - reviews.posted[number]) / 1e6 for number, receipt in heard.whole.items()
        ]
        print(f"  from the POST to the {who} listener of the room: {spread(times, 'ms')}")
    for lost in heard.lost[:10]:
        print(f"  lost: socket {lost.listener}, close code {lost.code or 'none'}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sockets", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rooms", type=int, default=10)
    parser.add_argument("--pause", type=float, default=5, help="seconds between reviews (default: 5)")
    options = parser.parse_args()
    with deployment_for(options.sockets + 100) as (deployment, program):
        measure(deployment, program, Soak(options.sockets, options.minutes, options.rooms, options.pause))


if __name__ == "__main__":
    main()
