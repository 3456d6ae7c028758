"""The people, movies and listeners of a scenario, and the look at what has become of their reviews."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import psycopg2
import requests

from tests.chaos.checker import Aggregate, Observed, ReviewRow, Verdict, check
from tests.chaos.history import History, Write
from tests.chaos.observers import EventRecorder, RoomListener, wait_until_quiet
from tests.chaos.stage import Stage
from tests.clients import Account, sign_up
from tests.processes import wait_until

SIGN_UPS_AT_ONCE = 4
SETTLE_SECONDS = 60.0  # until the outbox and the queue must have been emptied
QUIET_SECONDS = 1.0


@dataclass
class World:
    stage: Stage
    users: list[Account]
    movies: list[int]
    recorder: EventRecorder
    listeners: dict[str, RoomListener]
    rooms: dict[str, int | None]  # by listener, the movie; None for all
    history: History = field(default_factory=History)

    @classmethod
    @contextmanager
    def open(
        cls, stage: Stage, *, users: int, movies: int, movie_rooms: int = 1, genres: Sequence[str] = ("",)
    ) -> Iterator[Self]:
        """Signed-up users, fresh movies of `genres` by turns, a queue for events; at every notifier a
        listener in `all` and one in each of the first `movie_rooms` movies' rooms."""
        first = stage.gateways[0]
        with ThreadPoolExecutor(SIGN_UPS_AT_ONCE) as pool:
            accounts = list(pool.map(lambda _: sign_up(first), range(users)))
        world = cls(stage, accounts, [], EventRecorder(stage.rabbitmq.url), {}, {})
        world.add_movies(movies, genres)
        with ExitStack() as stack:
            world.recorder.start()
            stack.callback(world.recorder.stop)
            for number, url in enumerate(stage.deployment.notifiers):
                for movie in (None, *world.movies[:movie_rooms]):
                    room = "all" if movie is None else str(movie)
                    listener = RoomListener(url, room)
                    stack.callback(listener.stop)
                    listener.start()
                    world.listeners[f"{room} at notifier {number}"] = listener
                    world.rooms[f"{room} at notifier {number}"] = movie
            yield world

    def add_movies(self, count: int, genres: Sequence[str] = ("",)) -> list[int]:
        api = self.users[0].api
        added = [api.create_movie(genre=genres[number % len(genres)]) for number in range(count)]
        self.movies += added
        return added

    def pairs(self, rng: random.Random, movies: Sequence[int] | None = None) -> list[Write]:
        """A review by each user of each movie, in no order."""
        writes = [
            Write(user.id, movie, rng.randint(2, 20) / 2, user.token)
            for movie in (self.movies if movies is None else movies)
            for user in self.users
        ]
        rng.shuffle(writes)
        return writes

    def settle(self) -> None:
        """Return once every event has left the outbox and the queue, and the rooms are quiet."""
        wait_until(self._outboxes_are_empty, SETTLE_SECONDS, "the outboxes are empty")
        wait_until(lambda: _broker_says(self.recorder) == 0, SETTLE_SECONDS, "the queue is empty")
        wait_until_quiet(
            lambda: (len(self.recorder.arrivals), *(len(each.heard) for each in self.listeners.values())),
            QUIET_SECONDS,
            SETTLE_SECONDS,
        )

    def judge(self) -> Verdict:
        """The checker's word on everything that was written of these movies, once it has settled."""
        self.settle()
        return check(self.observe())

    def observe(self, deleted: Set[int] = frozenset()) -> Observed:
        """What there is to see now, but for reviews that were written and `deleted` again."""
        known = set(self.movies)
        return Observed(
            writes=[write for write in self.history.writes() if not deleted & set(write.told)],
            rows=self._rows(),
            served=self._served(),
            arrivals=[
                each for each in self.recorder.arrivals if each.movie in known and each.review not in deleted
            ],
            heard={name: listener.heard.copy() for name, listener in self.listeners.items()},
            rooms=self.rooms,
            aggregates=self._aggregates(),
        )

    def _outboxes_are_empty(self) -> bool:
        try:
            return all(self._count(part) == 0 for part in ("auth", "movies"))
        except psycopg2.OperationalError:
            return False

    def _count(self, part: str) -> int:
        with self.stage.database(part) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM outbox")
            (count,) = cursor.fetchone() or (0,)
        return int(count)

    def _rows(self) -> list[ReviewRow]:
        with self.stage.database("movies") as connection, connection.cursor() as cursor:
            query = "SELECT id, user_id, movie_id, rating FROM reviews WHERE movie_id = ANY(%s) ORDER BY id"
            cursor.execute(query, [self.movies])
            return [ReviewRow(*row) for row in cursor.fetchall()]

    def _served(self) -> list[int]:
        found = []
        with requests.Session() as session:
            for movie in self.movies:
                cursor: dict[str, Any] = {}
                while True:
                    page = self._get(session, 0, f"/api/movies/{movie}/reviews", limit=1000, **cursor)
                    found += [review["id"] for review in page["data"]]
                    if not page["next_cursor"]:
                        break
                    cursor = {"cursor": page["next_cursor"]}
        return found

    def _aggregates(self) -> list[Aggregate]:
        found = []
        with requests.Session() as session:
            for gateway in range(len(self.stage.gateways)):
                for number in self.movies:
                    movie = self._get(session, gateway, f"/api/movies/{number}")
                    found.append(Aggregate(gateway, number, movie["review_count"], movie["average_rating"]))
        return found

    def _get(self, session: requests.Session, gateway: int, path: str, **query: Any) -> Any:
        """The answer, once there is one: a platform that was just hurt may need a second try."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            try:
                answer = session.get(self.stage.gateways[gateway] + path, params=query, timeout=20)
                if answer.status_code == 200:
                    return answer.json()
            except requests.RequestException:
                pass
            assert time.monotonic() < deadline, f"{path}: not served within {SETTLE_SECONDS:g} s"
            time.sleep(0.5)


def _broker_says(recorder: EventRecorder) -> int | None:
    try:
        return recorder.waiting()
    except OSError:
        return None
