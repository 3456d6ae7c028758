"""From a committed change to its event in somebody's queue, and how fast a burst of events gets there.

`python -m tests.bench.publish_latency --reviews 100 --burst 1000` starts the full deployment and prints, for
reviews written one at a time, the median and the 99th percentile in milliseconds: from when its transaction
began (the event's `time`) and from when the HTTP answer came, to the receipt; the same for bare outbox rows,
from when their commit came back. Then it commits `--burst` rows at once, of as many movies and of a single
one, and prints events per second until the last is received: of a type that no service must have, and of
reviews, which the stream must have taken.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import kombu

from broker.events import exchange
from tests.clients import sign_up
from tests.platforms import FullDeployment, connect
from tests.processes import wait_until
from tests.servers import PrivateServers

PAUSE_SECONDS = 0.05  # between reviews, so that each finds an idle relay
WAIT_SECONDS = 60


@contextmanager
def receiving(amqp: str, pattern: str) -> Iterator[list[tuple[dict[str, Any], float]]]:
    """The events of movies as they come into a queue of our own, each with the moment of its receipt."""
    received: list[tuple[dict[str, Any], float]] = []
    ended = threading.Event()
    queue = kombu.Queue(f"bench-{uuid.uuid4().hex}", exchange("movies"), routing_key=pattern, exclusive=True)

    def drain() -> None:
        while not ended.is_set():
            try:
                connection.drain_events(timeout=0.2)
            except TimeoutError:
                continue

    def receive(body: dict[str, Any], _message: kombu.Message) -> None:
        received.append((body, time.time()))

    with (
        kombu.Connection(amqp) as connection,
        connection.Consumer([queue], callbacks=[receive], no_ack=True),
    ):
        thread = threading.Thread(target=drain)
        thread.start()
        try:
            yield received
        finally:
            ended.set()
            thread.join()


def measure_latency(deployment: FullDeployment, reviews: int) -> None:
    gateway = deployment.gateways[0]
    writers = [sign_up(gateway) for _ in range(reviews)]
    movie = writers[0].api.create_movie()
    answered: dict[int, float] = {}
    with receiving(deployment.servers.amqp, "review_created") as received:
        for writer in writers:
            review = writer.api.create_review(movie)
            answered[review] = time.time()
            time.sleep(PAUSE_SECONDS)
        wait_until(lambda: len(received) >= reviews, WAIT_SECONDS, "all reviews are announced")
    rows = commit_one_by_one(deployment, reviews)
    began = [(at - datetime.fromisoformat(body["time"]).timestamp()) * 1000 for body, at in received]
    after = [(at - answered[body["data"]["review"]["id"]]) * 1000 for body, at in received]
    for name, times in (
        ("reviews, from the transaction's begin", began),
        ("reviews, from the HTTP answer", after),
        ("bare rows, from the end of their commit", rows),
    ):
        p99 = statistics.quantiles(times, n=100, method="inclusive")[98]
        print(
            f"{reviews} {name} to the receipt: p50 {statistics.median(times):.1f} ms, "
            f"p99 {p99:.1f} ms, worst {max(times):.1f} ms",
            flush=True,
        )


def insert(connection: Any, event_type: str, number: int, movie: int) -> None:
    data = {"version": number, "movie": {"id": movie}, "review": {"body": "Watched it twice. " * 20}}
    envelope = {"id": uuid.uuid4().hex, "source": "/movies", "type": event_type, "data": data}
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO outbox (source, type, envelope) VALUES ('movies', %s, %s)",
            (event_type, json.dumps(envelope)),
        )


def commit_one_by_one(deployment: FullDeployment, events: int) -> list[float]:
    """Milliseconds from the commit of each row to its receipt."""
    pattern = f"bench_{uuid.uuid4().hex}"
    connection = connect(deployment.databases.movies)
    committed = []
    with receiving(deployment.servers.amqp, pattern) as received:
        for number in range(events):
            insert(connection, pattern, number, movie=1)
            committed.append(time.time())
            time.sleep(PAUSE_SECONDS)
        wait_until(lambda: len(received) >= events, WAIT_SECONDS, "all rows are published")
    connection.close()
    return [(at - committed[body["data"]["version"]]) * 1000 for body, at in received]


def measure_burst(deployment: FullDeployment, events: int, movies: int, event_type: str | None) -> float:
    """Events per second from the commit of all to the receipt of the last. Without a type: of our own."""
    pattern = event_type or f"bench_{uuid.uuid4().hex}"
    connection = connect(deployment.databases.movies)
    connection.autocommit = False
    with receiving(deployment.servers.amqp, pattern) as received:
        for number in range(events):
            insert(connection, pattern, number, movie=number % movies)
        connection.commit()
        committed = time.time()
        wait_until(lambda: len(received) >= events, WAIT_SECONDS, "the burst is published")
    connection.close()
    return events / (received[-1][1] - committed)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.publish_latency", description=__doc__)
    parser.add_argument("--reviews", type=int, default=100)
    parser.add_argument("--burst", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5, help="bursts of each kind")
    options = parser.parse_args()
    with PrivateServers() as servers, tempfile.TemporaryDirectory() as folder:
        deployment = FullDeployment(servers.urls, Path(folder))
        try:
            deployment.start()
            measure_latency(deployment, options.reviews)
            for movies, event_type in product((options.burst, 1), (None, "review_created")):
                rates = [
                    measure_burst(deployment, options.burst, movies, event_type) for _ in range(options.runs)
                ]
                print(
                    f"{options.burst} {event_type or 'events'} of {movies} movie(s): "
                    f"{statistics.median(rates):.0f} a second "
                    f"(of {options.runs} runs: {min(rates):.0f} to {max(rates):.0f})",
                    flush=True,
                )
        finally:
            deployment.stop()


if __name__ == "__main__":
    main()
