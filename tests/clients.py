"""Clients of the platform: REST by requests, rooms by the stock python-socketio client."""

from __future__ import annotations

import queue
import uuid
from dataclasses import dataclass, field
from typing import Any

import engineio
import requests
import socketio

PASSWORD = "correct horse battery"
DEADLINE_SECONDS = 10


class Api:
    """One person's (or nobody's) view of a gateway. `api.get("/api/movies")` answers requests' Response."""

    def __init__(self, base: str, token: str | None = None) -> None:
        self.base = base
        self.session = requests.Session()
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def request(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.session.request(method, self.base + path, json=body, timeout=30, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.request("POST", path, body, **options)

    def put(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.request("PUT", path, body, **options)

    def patch(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.request("PATCH", path, body, **options)

    def delete(self, path: str, **options: Any) -> requests.Response:
        return self.request("DELETE", path, **options)

    def create_movie(self, **fields: Any) -> int:
        """A fresh movie's id."""
        response = self.post("/api/movies", {"title": f"Film {uuid.uuid4().hex}", **fields})
        assert response.status_code == 201, response.text
        return int(response.json()["id"])

    def create_review(self, movie_id: int, **fields: Any) -> int:
        """A fresh review's id."""
        body = {"title": "Superb", "rating": 8, **fields}
        response = self.post(f"/api/movies/{movie_id}/reviews", body)
        assert response.status_code == 201, response.text
        return int(response.json()["id"])


@dataclass
class Account:
    """A registered and signed-in user."""

    id: int
    username: str
    email: str
    token: str
    api: Api
    password: str = field(default=PASSWORD, repr=False)

    def change(self, **fields: Any) -> requests.Response:
        """Change the profile, with the password that it takes."""
        return self.api.patch("/api/auth/me", {"current_password": self.password, **fields})

    def delete(self, **options: Any) -> requests.Response:
        """Close the account, with the password that it takes."""
        return self.api.request("DELETE", "/api/auth/me", {"current_password": self.password}, **options)


def sign_up(base: str) -> Account:
    """A fresh account, signed in."""
    name = f"user-{uuid.uuid4().hex[:12]}"
    email = f"{name}@example.com"
    register = {"username": name, "email": email, "password": PASSWORD, "confirm_password": PASSWORD}
    response = Api(base).post("/api/auth/register", register)
    assert response.status_code == 201, response.text
    return sign_in(base, email)


def sign_in(base: str, email: str, password: str = PASSWORD) -> Account:
    response = Api(base).post("/api/auth/login", {"email": email, "password": password})
    assert response.status_code == 200, response.text
    api = Api(base, response.json()["access_token"])
    answer = api.get("/api/auth/me")
    assert answer.status_code == 200, answer.text
    profile = answer.json()
    return Account(profile["id"], profile["username"], email, response.json()["access_token"], api, password)


class InOrder(socketio.Client):
    """The stock client, but for a thread for each packet, in which an event can be overtaken by the next."""

    class _Packets(engineio.Client):
        def _trigger_event(self, event: str, *args: Any, **options: Any) -> Any:
            return super()._trigger_event(event, *args, **options | {"run_async": False})

    def _engineio_client_class(self) -> type[engineio.Client]:
        return self._Packets


class Listener:
    """A stock Socket.IO client that keeps what it hears, by event name; `disconnect` with its reason."""

    CLIENT = socketio.Client

    EVENTS = ("message", "new_review", "review_updated", "review_deleted", "closed", "disconnect")

    def __init__(self, url: str, token: str | None = None, transport: str = "websocket") -> None:
        self.client = self.CLIENT(reconnection=False)
        self.heard: dict[str, queue.Queue[Any]] = {name: queue.Queue() for name in self.EVENTS}
        for name in self.EVENTS:
            self.client.on(name, self.heard[name].put)
        self.client.connect(
            url,
            auth={"token": token} if token else None,
            transports=[transport],
            wait_timeout=DEADLINE_SECONDS,
        )

    def call(self, event: str, **data: Any) -> Any:
        """The acknowledgement of `event`."""
        return self.client.call(event, data, timeout=DEADLINE_SECONDS)

    def next(self, event: str) -> Any:
        """The next `event` heard; raises queue.Empty when none comes."""
        return self.heard[event].get(timeout=DEADLINE_SECONDS)

    def heard_nothing_before(self, event: str, marker: Any) -> bool:
        """Whether the next `event` is `marker`: nothing else came in before it."""
        return bool(self.next(event)["message"] == marker)

    def close(self) -> None:
        self.client.disconnect()
        if self.client.eio.ws is not None:
            self.client.eio.ws.shutdown()  # the client leaves that of a lost connection open

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
