"""What clients do all the time: writers of reviews, and a mixed load."""

from __future__ import annotations

import queue
import random
import threading
import time
import uuid
from collections.abc import Iterable
from typing import Any

from tests.chaos.client import Answer, Client, persist
from tests.chaos.history import REFUSED, Attempt, Write
from tests.chaos.world import World
from tests.clients import PASSWORD, Account

AFTER_FAILURE_SECONDS = (0.2, 1.0)  # how long a client waits before it asks again
PATIENT_SECONDS = 120.0  # how long a client asks for one review
# How often each kind is asked for. A sign-in costs a hash, some hundred times what a read costs.
KINDS = {"read": 0.45, "search": 0.2, "review": 0.32, "sign-in": 0.03}
UPDATED_SHARE, DELETED_SHARE = 0.15, 0.08  # of the reviews, where some are revised
# Every door of the platform is closed: no client of a platform with two gateways may ever see that.
REFUSED_EVERYWHERE = "refused everywhere"


class Crowd:
    """Threads that share what is to be written, each with a client and a chance of its own."""

    def __init__(
        self, world: World, writes: Iterable[Write], count: int, rng: random.Random, pause: float
    ) -> None:
        """`pause`: seconds that each waits after what it has done."""
        self._world = world
        self._pause = pause
        self._todo: queue.SimpleQueue[Write] = queue.SimpleQueue()
        for write in writes:
            self._todo.put(write)
        self._stopping = threading.Event()
        seeds = [rng.random() for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._run, args=(number, random.Random(seed)), daemon=True)
            for number, seed in enumerate(seeds)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def _run(self, number: int, rng: random.Random) -> None:
        raise NotImplementedError


class Writers(Crowd):
    """Write what they are given, each review until it is acknowledged."""

    def __init__(
        self, world: World, writes: Iterable[Write], count: int, rng: random.Random, pause: float = 0.0
    ) -> None:
        super().__init__(world, writes, count, rng, pause)

    def stop(self) -> None:
        """Begin no further review."""
        self._stopping.set()

    def join(self, seconds: float) -> bool:
        """Whether all that was begun is written within `seconds`."""
        return joined(self._threads, seconds)

    def _run(self, number: int, rng: random.Random) -> None:
        client = Client(self._world.history, self._world.stage.gateways, number)
        while not self._stopping.is_set():
            try:
                write = self._todo.get_nowait()
            except queue.Empty:
                break
            self._world.history.add_write(write)
            self._write(client, write, rng)
            self._stopping.wait(self._pause)
        client.close()

    def _write(self, client: Client, write: Write, rng: random.Random) -> None:
        keep_asking(client, write, rng)


class Revisers(Writers):
    """Write what they are given, and then change the titles of some reviews, and delete some."""

    def __init__(self, world: World, writes: Iterable[Write], count: int, rng: random.Random) -> None:
        super().__init__(world, writes, count, rng)
        self.updated = 0
        self.deleted: set[int] = set()  # ids of reviews
        self.unfinished: list[str] = []  # what was not done in all its time: "DELETE review 7"

    def _write(self, client: Client, write: Write, rng: random.Random) -> None:
        keep_asking(client, write, rng)
        if not write.told:
            return
        review = write.told[-1]
        if rng.random() < UPDATED_SHARE:
            self._revise(client, write, rng, "PUT", {"title": f"Seen again by {write.user}"})
            self.updated += 1
        if rng.random() < DELETED_SHARE:
            self.deleted.add(review)
            self._revise(client, write, rng, "DELETE", None)

    def _revise(self, client: Client, write: Write, rng: random.Random, method: str, body: object) -> None:
        review, key, deadline = write.told[-1], uuid.uuid4().hex, time.monotonic() + PATIENT_SECONDS
        path = f"/api/reviews/{review}"
        while client.request("revision", method, path, body, token=write.token, key=key).outcome != "200":
            if time.monotonic() > deadline:
                self.unfinished.append(f"{method} review {review}")
                return
            client.turn_to_another()
            time.sleep(rng.uniform(*AFTER_FAILURE_SECONDS))


class MixedLoad(Crowd):
    """Read, search, review and sign in, each with a connection that it keeps, until stopped.

    A review that was not acknowledged is asked for again, with the same key, before another. Where a
    gateway takes no connection, the next one is asked at once.
    """

    def __init__(
        self,
        world: World,
        writes: Iterable[Write],
        rng: random.Random,
        threads: int = 8,
        pause: float = 0.05,
    ) -> None:
        """`pause`: the mean of the seconds that each waits after a request."""
        super().__init__(world, writes, threads, rng, pause)

    def stop(self) -> None:
        """Let every review at hand be acknowledged, and end."""
        self._stopping.set()
        assert joined(self._threads, PATIENT_SECONDS + 60), "the clients do not come to an end"

    def _run(self, number: int, rng: random.Random) -> None:
        client = Client(self._world.history, self._world.stage.gateways, number)
        pending: Write | None = None
        while not self._stopping.is_set():
            kind = rng.choices([*KINDS], [*KINDS.values()])[0]
            if kind == "review":
                pending = self._review(client, pending)
            else:
                self._ask(client, kind, rng)
            self._stopping.wait(rng.uniform(0, 2 * self._pause))
        if pending is not None:
            keep_asking(client, pending, rng)
        client.close()

    def _review(self, client: Client, pending: Write | None) -> Write | None:
        """Ask for a review; what is left to ask for again."""
        write = pending
        if write is None:
            try:
                write = self._todo.get_nowait()
            except queue.Empty:
                return None
            self._world.history.add_write(write)
        self._open_door(client, lambda: client.write(write))
        return None if write.settled else write

    def _ask(self, client: Client, kind: str, rng: random.Random) -> None:
        movie, user = rng.choice(self._world.movies), rng.choice(self._world.users)
        self._open_door(client, lambda: ask(client, kind, movie, user))

    def _open_door(self, client: Client, asking: Any) -> None:
        for _ in self._world.stage.gateways:
            if asking().outcome != REFUSED:
                return
            client.turn_to_another()
        history = self._world.history
        history.add_attempt(Attempt("any", client.gateway, history.now(), 0.0, REFUSED_EVERYWHERE))


def ask(client: Client, kind: str, movie: int, user: Account) -> Answer:
    """One request of a kind that changes nothing."""
    match kind:
        case "read":
            return client.request(kind, "GET", f"/api/movies/{movie}")
        case "search":
            return client.request(kind, "GET", f"/api/movies/search?q=film&limit={5 + movie % 20}")
        case "profile":
            return client.request(kind, "GET", f"/api/users/{user.id}")
        case "sign-in":
            body = {"email": user.email, "password": PASSWORD}
            return client.request(kind, "POST", "/api/auth/login", body)
    raise ValueError(kind)


def keep_asking(client: Client, write: Write, rng: random.Random) -> None:
    """Ask for a review until it is acknowledged, as a patient client does."""
    persist(client, write, time.monotonic() + PATIENT_SECONDS, lambda: rng.uniform(*AFTER_FAILURE_SECONDS))


def joined(threads: Iterable[threading.Thread], seconds: float) -> bool:
    """Whether all of them ended within `seconds`."""
    deadline = time.monotonic() + seconds
    ended = True
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
        ended = ended and not thread.is_alive()
    return ended
