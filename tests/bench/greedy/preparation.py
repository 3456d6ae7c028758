"""What is there before anybody is greedy: accounts, films, reviews, put there over REST.

Each account comes from an address of its own: what one address may do is not what is tried here.
"""

from __future__ import annotations

import json
import random
import string
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from tests.clients import PASSWORD, Listener

PEOPLE = 12
AUTHORS = 10
WORDY_FILMS = 60
LONG_FILMS = 200
LONG_REVIEWS = 20
EMOJI = "\N{CLAPPER BOARD}"
PATIENCE_SECONDS = 120.0
TITLES = 300
UTF8_JSON = {"Content-Type": "application/json"}


class _From(HTTPAdapter):
    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, source_address=(self._address, 0), **options)


class Person:
    """An account that comes from `address`."""

    def __init__(self, gateway: str, address: str) -> None:
        self._gateway = gateway
        self._http = requests.Session()
        self._http.mount("http://", _From(address))
        name = f"person-{uuid.uuid4().hex[:12]}"
        self.email = f"{name}@example.com"
        secret = {"password": PASSWORD, "confirm_password": PASSWORD}
        self.post("/api/auth/register", {"username": name, "email": self.email, **secret})
        self.token = self.post("/api/auth/login", {"email": self.email, "password": PASSWORD})["access_token"]
        self._http.headers["Authorization"] = f"Bearer {self.token}"
        self.id: int = self.get("/api/auth/me")["id"]

    def get(self, path: str) -> Any:
        return self._asked("GET", path)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._asked("POST", path, json.dumps(body, ensure_ascii=False).encode())

    def _asked(self, method: str, path: str, body: bytes | None = None) -> Any:
        """What is answered, once it is not "later" any more."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self._http.request(
                method, self._gateway + path, data=body, headers=UTF8_JSON, timeout=60
            )
            if answer.status_code != 429 or time.monotonic() > deadline:
                assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
                return answer.json()
            time.sleep(float(answer.headers.get("Retry-After", 1)))


@dataclass
class Scene:
    """The ordinary people, the greedy one, and what all of them know of."""

    people: list[Person]
    greedy: Person
    authors: list[Person]
    movies: list[int]
    titles: list[str]
    replay: str | None = None


def scene(gateway: str, notifier: str, furnish: Callable[[Scene, str], None] | None) -> Scene:
    """`furnish` adds what a kind needs."""
    people = [Person(gateway, f"127.0.1.{number}") for number in range(1, PEOPLE + 1)]
    listed = people[0].get(f"/api/movies?limit={TITLES}")
    movies, titles = [each["id"] for each in listed], [each["title"] for each in listed]
    found = Scene(people, Person(gateway, "127.0.0.2"), [], movies, titles)
    if furnish:
        found.authors = [Person(gateway, f"127.0.2.{number}") for number in range(1, AUTHORS + 1)]
        furnish(found, notifier)
    return found


def add_wordy_films(found: Scene, _notifier: str) -> None:
    """Their title and director are one-letter words, and z is none of them."""
    for author in islice(cycle(found.authors), WORDY_FILMS):
        title, director = (" ".join(random.choices(string.ascii_lowercase[:-1], k=150)) for _ in range(2))
        author.post("/api/movies", {"title": title, "director": director})


def add_long_films(found: Scene, _notifier: str) -> None:
    """Their descriptions are as long as can be."""
    for number, author in enumerate(islice(cycle(found.authors), LONG_FILMS)):
        body = {"title": f"A long film {number}", "description": EMOJI * 10_000, "rating": 5}
        author.post("/api/movies", body)


def add_long_reviews(found: Scene, notifier: str) -> None:
    """As long as can be; `found.replay` is where the room of all reviews was before them."""
    with Listener(notifier) as listener:

        def join(**position: str) -> Any:
            return listener.call("join_notification", user_id="nobody", room_id="all", **position)

        def write(numbers: Iterator[int]) -> None:
            for number in numbers:
                movie, author = found.movies[number // AUTHORS], found.authors[number % AUTHORS]
                body = {"title": f"Long {number}", "body": EMOJI * 20_000, "rating": 8}
                author.post(f"/api/movies/{movie}/reviews", body)

        join()
        write(iter(range(1)))
        found.replay = listener.next("new_review")["event_id"]
        write(iter(range(1, LONG_REVIEWS + 1)))
        for _ in range(LONG_REVIEWS):
            listener.next("new_review")
