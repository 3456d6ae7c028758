"""Reviews that listeners can count: number n is of movie n % movies, and has `bench-<n>` for a title."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from tests.bench.listeners import title
from tests.clients import Account, sign_up

SIGN_UP_THREADS = 8


class Reviews:
    """`most` reviews to be posted, by as many accounts as that takes: each has one review of a movie."""

    def __init__(self, gateway: str, most: int, movies: int = 1, body_bytes: int = 100) -> None:
        self._body = "x" * body_bytes
        with ThreadPoolExecutor(SIGN_UP_THREADS) as threads:
            signed_up = [threads.submit(sign_up, gateway) for _ in range(math.ceil(most / movies))]
            self._accounts: list[Account] = [each.result() for each in signed_up]
        self.movies = [self._accounts[0].api.create_movie() for _ in range(movies)]
        self.posted: dict[int, int] = {}  # by number, when the POST began (time.monotonic_ns())
        self.refused: list[str] = []  # what was answered to the others

    def post(self, number: int) -> None:
        """POST review `number`, once each."""
        movie = self.movies[number % len(self.movies)]
        began = time.monotonic_ns()
        answer = self._accounts[number // len(self.movies)].api.post(
            f"/api/movies/{movie}/reviews", {"title": title(number), "body": self._body, "rating": 8}
        )
        if answer.status_code == 201:
            self.posted[number] = began
        else:
            self.refused.append(f"{answer.status_code} {answer.text}")


class Posting:
    """Posts the reviews `numbers` while the block runs, `rate` a second, from the pool's threads."""

    def __init__(self, reviews: Reviews, numbers: range, rate: float, threads: int = 8) -> None:
        self._reviews = reviews
        self._due = iter(numbers)
        self._first = numbers.start
        self._pause = 1 / rate
        self._began = 0.0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._post, daemon=True) for _ in range(threads)]

    def join(self) -> None:
        """Return once all are posted."""
        for thread in self._threads:
            thread.join()

    def _post(self) -> None:
        while True:
            with self._lock:
                number = next(self._due, None)
            if number is None:
                return
            due = self._began + (number - self._first) * self._pause
            if self._stopping.wait(max(0.0, due - time.monotonic())):
                return
            self._reviews.post(number)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stopping.set()
        self.join()
