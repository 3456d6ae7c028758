"""From the POST of a review to the last of many listeners in the movie's room, on the full deployment.

`python -m tests.bench.last_listener --listeners 500 --reviews 100` posts the reviews one at a time, each by
another account, and prints the milliseconds from the POST to its answer, to the first, the median and the
last listener of each. One process of each part, on private servers.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.crowd import deployment_for
from tests.bench.figures import spread
from tests.bench.listeners import Listeners, Receipt
from tests.bench.reviews import Reviews
from tests.platforms import FullDeployment

CONNECT_SECONDS = 60
HEAR_SECONDS = 10
PAUSE_SECONDS = 0.05  # between reviews, so that each finds an idle platform
WARM_UP = 5


def measure(deployment: FullDeployment, program: Path, listeners: int, count: int) -> None:
    reviews = Reviews(deployment.gateways[0], count + WARM_UP)
    port = urlsplit(deployment.notifiers[0]).port
    assert port
    answered: dict[int, float] = {}
    with Listeners(program, port, listeners, [str(reviews.movies[0])]) as crowd:
        crowd.wait_ready(CONNECT_SECONDS)
        for number in range(count + WARM_UP):
            began = time.monotonic()
            reviews.post(number)
            answered[number] = (time.monotonic() - began) * 1000
            crowd.has_heard([number], HEAR_SECONDS)
            time.sleep(PAUSE_SECONDS)
        heard = crowd.finish()
    numbers = range(WARM_UP, count + WARM_UP)
    print(f"{count} reviews, {listeners} listeners in the room; milliseconds from the POST", flush=True)
    print(f"  to its answer: {spread([answered[number] for number in numbers], 'ms')}")

    def show(who: str, when: str) -> None:
        came: list[tuple[int, Receipt]] = [(n, heard.whole[n]) for n in numbers if n in heard.whole]
        times = [(getattr(receipt, when) - reviews.posted[n]) / 1e6 for n, receipt in came]
        print(f"  to the {who} listener: {spread(times, 'ms')}")

    show("first", "first")
    show("median", "median")
    show("last", "last")
    print(
        f"  refused {len(reviews.refused)}, not heard by all {len(reviews.posted) - len(heard.whole)}, "
        f"twice {heard.twice}, listeners lost {len(heard.lost)}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.last_listener",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--listeners", type=int, default=500)
    parser.add_argument("--reviews", type=int, default=100)
    options = parser.parse_args()
    with deployment_for(options.listeners + 100) as (deployment, program):
        measure(deployment, program, options.listeners, options.reviews)


if __name__ == "__main__":
    main()
