"""Calls on their way to a worker: what one may hold, and until when somebody waits for its answer."""

import math
import time
from dataclasses import dataclass
from typing import Any

import kombu
import orjson
from nameko.exceptions import MalformedRequest

# The longest body that the gateway takes, and what is around it.
MOST_CALL_BYTES = 2 * 2**20
# A property of ours, in place of the expiry that kombu's broker in memory does not know: time.monotonic().
ANSWER_BY = "answer_by"


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """A call as it was delivered. `answer_by`, time.monotonic(): nobody waits for its answer any longer."""

    message: kombu.Message
    answer_by: float

    @classmethod
    def received(cls, message: kombu.Message) -> "Call":
        """One that comes now. The clocks of two machines differ, so its expiry is counted from here."""
        properties = message.properties
        if ANSWER_BY in properties:
            return cls(message, properties[ANSWER_BY])
        expiration = str(properties.get("expiration", ""))
        if not (expiration.isascii() and expiration.isdigit()):
            return cls(message, math.inf)
        return cls(message, time.monotonic() + int(expiration) / 1000)

    @property
    def is_overdue(self) -> bool:
        return time.monotonic() >= self.answer_by

    def request(self) -> dict[str, Any]:
        """The arguments that it carries. Raises MalformedRequest for whatever is no call."""
        if self.message.content_type not in (None, "application/json"):
            raise MalformedRequest("A call must be JSON")
        if len(self.message.body) > MOST_CALL_BYTES:
            raise MalformedRequest(f"A call may have {MOST_CALL_BYTES} bytes")
        try:
            body = orjson.loads(self.message.body)
        except orjson.JSONDecodeError as error:
            raise MalformedRequest("A call must be JSON") from error
        if (
            not isinstance(body, dict)
            or not isinstance(body.get("args"), list)
            or not isinstance(body.get("kwargs"), dict)
        ):
            raise MalformedRequest("A call must have `args` and `kwargs`")
        return body
