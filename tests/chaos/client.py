"""A light HTTP client that says how a request ended, also where it got no answer."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.chaos.history import CUT_OFF, REFUSED, SILENT, Attempt, History, Write

PATIENCE_SECONDS = 20.0  # far more than any request may take, so that one that takes longer is measured


@dataclass(frozen=True)
class Answer:
    """`outcome` is the status, or one of history.UNANSWERED."""

    outcome: str
    body: Any = None


class Client:
    """One connection, kept alive, to one of `gateways` (base URLs) at a time. For a single thread."""

    def __init__(self, history: History, gateways: Sequence[str], first: int = 0) -> None:
        self.gateway = first % len(gateways)
        self._history = history
        self._gateways = gateways
        self._connection: http.client.HTTPConnection | None = None

    def request(
        self,
        kind: str,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        key: str | None = None,
    ) -> Answer:
        """Ask once, and write it down."""
        started, gateway = self._history.now(), self.gateway
        answer = self._ask(method, path, body, _headers(body, token, key))
        seconds = self._history.now() - started
        self._history.add_attempt(Attempt(kind, gateway, started, seconds, answer.outcome))
        return answer

    def write(self, write: Write) -> Answer:
        """Ask once for a review."""
        path = f"/api/movies/{write.movie}/reviews"
        answer = self.request("review", "POST", path, write.body, token=write.token, key=write.key)
        write.outcomes.append(answer.outcome)
        if answer.outcome == "201":
            write.told.append(int(answer.body["id"]))
        return answer

    def turn_to_another(self) -> None:
        """Ask the next gateway from now on."""
        self.close()
        self.gateway = (self.gateway + 1) % len(self._gateways)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, method: str, path: str, body: object, headers: dict[str, str]) -> Answer:
        if (answer := self._connect()) is not None:
            return answer
        connection = self._connection
        assert connection is not None
        try:
            connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
            response = connection.getresponse()
            content = response.read()
        except TimeoutError:
            self.close()
            return Answer(SILENT)
        except (OSError, http.client.HTTPException):
            self.close()
            return Answer(CUT_OFF)
        if response.will_close:
            self.turn_to_another()
        return Answer(str(response.status), _parsed(content))

    def _connect(self) -> Answer | None:
        if self._connection is not None:
            return None
        address = urlsplit(self._gateways[self.gateway])
        connection = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=PATIENCE_SECONDS
        )
        try:
            connection.connect()
        except TimeoutError:
            return Answer(SILENT)
        except OSError:
            return Answer(REFUSED)
        self._connection = connection
        return None


def persist(client: Client, write: Write, deadline: float, pause: Callable[[], float]) -> None:
    """Ask for a review, with its key, until it is acknowledged or refused for good.

    After a failure the next gateway is asked, `pause()` seconds later, unless `time.monotonic()` is past
    `deadline`.
    """
    while True:
        client.write(write)
        if write.settled or time.monotonic() > deadline:
            return
        client.turn_to_another()
        time.sleep(pause())


def _headers(body: object, token: str | None, key: str | None) -> dict[str, str]:
    headers = {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if key is not None:
        headers["Idempotency-Key"] = key
    return headers


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
