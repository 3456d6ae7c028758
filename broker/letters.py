"""What a dead letter holds, and how it is shown to an operator: whatever it is, as JSON of a bounded size."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import kombu
import orjson

from broker.clock import iso
from broker.reading import unreadable

QUEUE, ERROR, ATTEMPTS, DIED_AT = "x-queue", "x-error", "x-attempts", "x-died-at"
PROPERTIES = "x-properties"  # those of a message that could not be read, as they came
ERROR_CHARACTERS = 500
ID_BYTES = 200  # AMQP's short strings have 255
KEPT_PROPERTIES_BYTES = 8 * 1024
SHOWN_BODY_BYTES = 16 * 1024  # an event of more is shown as a text, cut off
SHOWN_TEXT_BYTES = 2000


@dataclass(eq=False, slots=True)
class Letter:
    """A message of `queue` that is to be kept, and why. `attempts`: how often it was tried."""

    message: kombu.Message
    queue: str
    error: BaseException
    attempts: int
    died_at: datetime

    def headers(self) -> dict[str, Any]:
        error = f"{type(self.error).__name__}: {self.error}"[:ERROR_CHARACTERS]
        headers: dict[str, Any] = {
            QUEUE: self.queue,
            ERROR: error.encode("utf-8", "backslashreplace").decode(),
            ATTEMPTS: self.attempts,
            DIED_AT: iso(self.died_at),
        }
        if (wrong := unreadable(self.message)) is not None:
            headers[PROPERTIES] = escaped(wrong.header, KEPT_PROPERTIES_BYTES)
        return headers


def letter_id(message: kombu.Message) -> str:
    """The id of the event. What is none, or has an id that nobody could type, is known by what it holds."""
    event = event_of(message)
    said = event.get("id") if isinstance(event, dict) else None
    for candidate in (message.properties.get("message_id"), said):
        if isinstance(candidate, str | int):
            text = str(candidate)
            if text.isprintable() and 0 < len(text.encode()) <= ID_BYTES:
                return text
    wrong = unreadable(message)
    return hashlib.sha256((wrong.header if wrong else b"") + body_of(message)).hexdigest()[:32]


def shown(message: kombu.Message) -> dict[str, Any]:
    """As `DeadLetterQueue.listed` answers it."""
    headers, wrong = message.headers, unreadable(message)
    attempts = headers.get(ATTEMPTS)
    event = event_of(message)
    return {
        "id": letter_id(message),
        "queue": _text(headers.get(QUEUE)),
        "error": wrong.reason if wrong else _text(headers.get(ERROR)),
        "attempts": attempts if type(attempts) is int else None,
        "died_at": _text(headers.get(DIED_AT)),
        "event": escaped(body_of(message), SHOWN_TEXT_BYTES) if event is None else event,
        "properties": escaped(wrong.header, SHOWN_TEXT_BYTES) if wrong else _text(headers.get(PROPERTIES)),
    }


def event_of(message: kombu.Message) -> Any:
    """The JSON that a message holds; None for what is none, or too large or too deep to be shown."""
    body = body_of(message)
    if len(body) > SHOWN_BODY_BYTES:
        return None
    try:
        event = orjson.loads(body)
        orjson.dumps(event)  # it reads deeper than it writes
    except (orjson.JSONDecodeError, TypeError):
        return None
    return event


def body_of(message: kombu.Message) -> bytes:
    body = message.body
    return body if isinstance(body, bytes) else str(body).encode("utf-8", "backslashreplace")


def escaped(data: bytes, most: int) -> str:
    """Bytes as a text: what is UTF-8 as it is, all else as `\\xff`; of more than `most` the beginning."""
    text = data[:most].decode("utf-8", "backslashreplace")
    return text if len(data) <= most else f"{text}… ({len(data)} bytes)"


def _text(value: Any) -> str | None:
    """A header's value, which may be anything."""
    if value is None:
        return None
    return escaped(
        value if isinstance(value, bytes) else str(value).encode("utf-8", "backslashreplace"),
        SHOWN_TEXT_BYTES,
    )


def is_kept_unread(headers: Mapping[str, Any]) -> bool:
    """Whether a letter is of a message whose properties could not be read: it cannot go back as it was."""
    return PROPERTIES in headers
