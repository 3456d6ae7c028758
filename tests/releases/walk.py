"""What people do on the platform from one end to the other, and how often it did not go well."""

from __future__ import annotations

import queue
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import requests
import socketio

from tests.clients import PASSWORD, Api, Listener

ANSWER_SECONDS = 20


class Failed(Exception):
    """A step did not go as it must."""


@dataclass
class Walks:
    """Walks through a gateway and a notifier, counted: `failures` by what went wrong."""

    requests: int = 0
    walks: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def walk(self, gateway: str, notifier: str) -> None:
        try:
            _Walk(self, gateway).go(notifier)
        except Failed as failed:
            self.note(str(failed))
        except (requests.RequestException, socketio.exceptions.SocketIOError, queue.Empty) as error:
            self.note(type(error).__name__)
        with self._lock:
            self.walks += 1

    def note(self, failure: str) -> None:
        with self._lock:
            self.failures[failure] += 1

    def asked(self) -> None:
        with self._lock:
            self.requests += 1

    def in_threads(
        self, doors: Callable[[], tuple[str, str]], until: Callable[[], bool], threads: int
    ) -> None:
        """Walk through a gateway and a notifier, over and over, in so many threads, until `until()`."""

        def go_on() -> None:
            while not until():
                self.walk(*doors())

        running = [threading.Thread(target=go_on) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()


class _Walk:
    def __init__(self, walks: Walks, gateway: str) -> None:
        self._walks = walks
        self._gateway = gateway

    def go(self, notifier: str) -> None:
        owner, other = self._signed_in(), self._signed_in()
        name = f"Walked {uuid.uuid4().hex[:8]}"
        movie = self._ask(owner, 201, "POST", "/api/movies", {"title": name, "genre": "Drama"})["id"]
        self._ask(owner, 200, "PUT", f"/api/movies/{movie}", {"description": "Seen on foot", "rating": 7})
        shown = self._ask(other, 200, "GET", f"/api/movies/{movie}")
        self._expect(shown["title"] == name and shown["description"] == "Seen on foot", "movie as written")
        listener = Listener(notifier, owner.session.headers["Authorization"].split()[1])
        with listener:
            joined = listener.call("join_notification", user_id="guest", room_id=str(movie))
            if "error" in joined:
                me = self._ask(owner, 200, "GET", "/api/auth/me")
                joined = listener.call("join_notification", user_id=me["id"], room_id=str(movie))
            self._expect("error" not in joined, f"join: {joined.get('code')}")
            review = self._ask(
                other, 201, "POST", f"/api/movies/{movie}/reviews", {"title": "Fine", "rating": 8}
            )["id"]
            try:
                heard = listener.heard["new_review"].get(timeout=ANSWER_SECONDS)
            except queue.Empty:
                raise Failed("a review is not heard") from None
            self._expect(heard["review"]["id"] == review, "the review heard")
        self._read_and_leave(owner, other, movie, review)

    def _read_and_leave(self, owner: Api, other: Api, movie: int, review: int) -> None:
        liked = self._ask(owner, 200, "PUT", f"/api/reviews/{review}/like")
        self._expect(liked == {"likes": 1}, "likes")
        listed = self._ask(owner, 200, "GET", f"/api/movies/{movie}/reviews?sort=likes")["data"]
        self._expect([each["id"] for each in listed] == [review], "the reviews listed")
        for path in ("/api/movies?limit=5", "/api/movies/popular", "/api/movies/search?genre=drama&limit=3"):
            self._ask(owner, 200, "GET", path)
        self._ask(other, 200, "PUT", f"/api/reviews/{review}", {"title": "Finer", "rating": 9})
        self._ask(other, 200, "DELETE", f"/api/reviews/{review}")
        self._ask(owner, 200, "DELETE", f"/api/movies/{movie}")
        self._ask(owner, 200, "POST", "/api/auth/logout")
        self._ask(owner, 401, "GET", "/api/auth/me")

    def _signed_in(self) -> Api:
        name = f"walker-{uuid.uuid4().hex[:12]}"
        person = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        self._ask(
            Api(self._gateway), 201, "POST", "/api/auth/register", person | {"confirm_password": PASSWORD}
        )
        login = {"email": person["email"], "password": PASSWORD}
        token = self._ask(Api(self._gateway), 200, "POST", "/api/auth/login", login)["access_token"]
        return Api(self._gateway, token)

    def _ask(self, api: Api, expected: int, method: str, path: str, body: Any = None) -> Any:
        self._walks.asked()
        answer = api.request(method, path, body)
        shape = "/".join("…" if part.isdigit() else part for part in path.partition("?")[0].split("/"))
        self._expect(answer.status_code == expected, f"{method} {shape}: {answer.status_code}")
        with suppress(requests.JSONDecodeError):
            return answer.json()
        return None

    @staticmethod
    def _expect(holds: bool, what: str) -> None:
        if not holds:
            raise Failed(what)
