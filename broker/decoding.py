"""The JSON of messages that anybody may have sent."""

from typing import Any

import orjson


class Malformed(ValueError):
    """A body is not what it must be; the text says why, in our words."""


def object_of(body: bytes | str, most: int | None = None) -> dict[str, Any]:
    """The JSON object that a body of `most` bytes at most is.

    There is no NaN in it, no infinity, no lone surrogate. Raises Malformed.
    """
    if most is not None and len(body) > most:
        raise Malformed(f"It has {len(body)} bytes, more than {most}")
    try:
        decoded = orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError) as error:
        # Not its text, which may repeat the body.
        raise Malformed("It is not JSON") from error
    if not isinstance(decoded, dict):
        raise Malformed("It is not a JSON object")
    return decoded
