"""Cursors: where a page ended, opaque to the client. They hold the sort's key and the id of the last row."""

import base64
import binascii
from dataclasses import dataclass

import orjson

from broker.errors import Invalid
from broker.validation import is_storable

Key = str | float
# The orders whose key is a text; the key of every other one is a number.
TEXT_ORDERS = {"title", "latest", "earliest"}


@dataclass(frozen=True)
class Position:
    """The last row of a page, sorted by `order`: what it was sorted by, and its id."""

    order: str
    key: Key
    id: int

    def encode(self) -> str:
        raw = orjson.dumps([self.order, self.key, self.id])
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode(cursor: str | None, order: str) -> Position | None:
    """The position that `cursor` stands for; None for None.

    Raises Invalid for one that this sort did not give out.
    """
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        was, key, row_id = orjson.loads(raw)
        key = float(key) if order not in TEXT_ORDERS and not isinstance(key, str) else key
    except (binascii.Error, ValueError, TypeError, OverflowError) as error:
        raise _not_ours() from error
    if (
        was != order
        or not isinstance(key, str if order in TEXT_ORDERS else float)
        or not isinstance(row_id, int)
        or not 0 <= row_id < 2**63
        or (isinstance(key, str) and not is_storable(key))
    ):
        raise _not_ours()
    return Position(order, key, row_id)


def _not_ours() -> Invalid:
    return Invalid(errors={"cursor": "is not one that this listing gave out"})
