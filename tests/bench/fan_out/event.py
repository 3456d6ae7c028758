"""The event that every server of this comparison sends: a review as the notifier announces it, 300 bytes."""

from __future__ import annotations

import json
from typing import Any

from tests.bench.listeners import title

NAME = "new_review"
PACKET_BYTES = 300


def event() -> dict[str, Any]:
    """Its payload. `review.title` is for the server to set, to `title(number)`."""
    payload: dict[str, Any] = {
        "message": "User 12345 added a new review",
        "verified": True,
        "event_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "room_id": "42",
        "movie_id": 42,
        "movie_title": "Some Film",
        "review": {"id": 1000001, "user_id": 12345, "rating": 8, "title": title(100), "body": ""},
    }
    packet = "42" + json.dumps([NAME, payload], separators=(",", ":"))
    payload["review"]["body"] = "." * (PACKET_BYTES - len(packet))
    return payload


def numbered(payload: dict[str, Any], number: int) -> dict[str, Any]:
    return {**payload, "review": {**payload["review"], "title": title(number)}}
