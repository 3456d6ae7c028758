"""What the contract's cases expect again and again."""

from __future__ import annotations

import re
import uuid
from typing import Any

import requests

from tests.clients import Api

# How long what one service tells another by an event may take to be seen; mostly it takes milliseconds.
EFFECT_SECONDS = 10

FROM_CACHE = "Results retrieved from cache"
FROM_DATABASE = "Results retrieved from database"

# An id that no row has, though one could.
NOBODYS_ID = 2**62

# What only our own side may see: traces, exception classes, SQL, the libraries and the servers by name.
INTERNALS = re.compile(
    r"Traceback|File \"|\bline \d+, in\b|(?:Error|Exception)\b|\bSELECT\b|\bINSERT\b|\bUPDATE\b.*\bSET\b"
    r"|psycopg|sqlalchemy|pydantic|nameko|werkzeug|eventlet|orjson|kombu|amqp|redis|postgres|localhost",
)


def unique(prefix: str = "") -> str:
    """A word that nothing else on the platform holds."""
    return f"{prefix}{uuid.uuid4().hex}"


def assert_error(
    response: requests.Response, status: int, message: str | None = None, *, fields: set[str] | None = None
) -> None:
    """Assert that `response` is an error in the contract's one form, with exactly `fields` under `errors`."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    body = response.json()
    assert set(body) <= {"message", "errors", "request_id"}
    assert isinstance(body["message"], str)
    assert body["message"].strip()
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert not INTERNALS.search(response.text), response.text
    if message is not None:
        assert body["message"] == message
    if fields is not None:
        assert set(body.get("errors", {})) == fields, response.text
        assert all(isinstance(why, str) and why for why in body.get("errors", {}).values())


def assert_message(response: requests.Response, message: str, status: int = 200) -> None:
    """Assert a success that says `message`."""
    assert response.status_code == status, response.text
    assert response.json()["message"] == message


def get(api: Api, path: str, **parameters: Any) -> Any:
    """The body of a GET that goes well."""
    response = api.get(path, params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["id"] for row in rows]


def walk(api: Api, path: str, **parameters: Any) -> list[dict[str, Any]]:
    """The rows of all pages of a listing with `next_cursor`, from `cursor` on if it is given."""
    rows: list[dict[str, Any]] = []
    while True:
        page = get(api, path, **parameters)
        rows += page["data"]
        if not page.get("next_cursor"):
            return rows
        parameters["cursor"] = page["next_cursor"]
