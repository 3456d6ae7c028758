"""From the POST of a review to its receipt in the room, by the stock Python and JavaScript clients.

`python -m tests.bench.push_latency --reviews 50` starts the embedded default and then the full deployment and
prints, for each client, the median and the worst time in milliseconds, how many came twice or never.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from tests.clients import Listener, sign_up
from tests.platforms import Embedded, FullDeployment
from tests.servers import PrivateServers

PAUSE_SECONDS = 0.05  # between reviews, so that each finds an idle platform
LAST_ONES_SECONDS = 2


class NodeListener:
    """The stock socket.io-client in a process of its own."""

    def __init__(self, url: str, room: str) -> None:
        script = Path(__file__).with_name("listen.mjs")
        self.process = subprocess.Popen(["node", script, url, room], stdout=subprocess.PIPE, text=True)
        self.heard: list[tuple[int, float]] = []
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "joined\n"
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            review, milliseconds = line.split()
            self.heard.append((int(review), float(milliseconds) / 1000))

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


def measure(platform: Embedded | FullDeployment, reviews: int) -> None:
    gateway, notifier = platform.gateways[0], platform.notifiers[0]
    writers = [sign_up(gateway) for _ in range(reviews)]
    movie = writers[0].api.create_movie()
    heard: list[tuple[int, float]] = []
    posted: dict[int, float] = {}
    node = NodeListener(notifier, str(movie))
    with Listener(notifier) as listener:
        listener.client.on("new_review", lambda push: heard.append((push["review"]["id"], time.time())))
        listener.call("join_notification", user_id="bench", room_id=str(movie))
        for writer in writers:
            start = time.time()
            posted[writer.api.create_review(movie)] = start
            time.sleep(PAUSE_SECONDS)
        time.sleep(LAST_ONES_SECONDS)
    node.close()
    for name, came in (("python-socketio", heard), ("socket.io-client", node.heard)):
        report(f"{platform.name}, {name}", posted, came)


def report(name: str, posted: dict[int, float], came: list[tuple[int, float]]) -> None:
    times = [(at - posted[review]) * 1000 for review, at in came]
    counts = Counter(review for review, _ in came)
    twice = sum(count > 1 for count in counts.values())
    print(
        f"{name}: {len(posted)} reviews, p50 {statistics.median(times):.1f} ms, worst {max(times):.1f} ms, "
        f"missing {len(posted.keys() - counts.keys())}, twice {twice}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.push_latency", description=__doc__)
    parser.add_argument("--reviews", type=int, default=50)
    reviews = parser.parse_args().reviews
    with tempfile.TemporaryDirectory() as folder:
        embedded = Embedded(Path(folder))
        try:
            embedded.start()
            measure(embedded, reviews)
        finally:
            embedded.stop()
    with PrivateServers() as servers, tempfile.TemporaryDirectory() as folder:
        deployment = FullDeployment(servers.urls, Path(folder))
        try:
            deployment.start()
            measure(deployment, reviews)
        finally:
            deployment.stop()


if __name__ == "__main__":
    main()
