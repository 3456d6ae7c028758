"""Cursors: where a page ended, opaque to the client and signed. They hold the last row's id and sort key.

However long the text is that rows are sorted by, a cursor holds no more of it than KEY_LETTERS.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from broker.clock import utc_now
from broker.errors import Invalid
from broker.text import folded
from broker.validation import MAX_ID, is_storable

Key = str | float
# The orders whose key is a text; the key of every other one is a number.
TEXT_ORDERS: Final = {"title", "latest", "earliest"}
KEY_LETTERS: Final = 64
_SIGNATURE_BYTES: Final = 16


@dataclass(frozen=True)
class Signing:
    """What an installation signs its cursors with, and until when it takes those of before it did."""

    key: bytes
    unsigned_until: datetime | None = None

    def of(self, content: bytes) -> bytes:
        return hmac.digest(self.key, content, hashlib.sha256)[:_SIGNATURE_BYTES]


@dataclass(frozen=True)
class Position:
    """The last row of a page, sorted by `order`: what it was sorted by, and its id.

    Of a long text `key` is the beginning and `digest` stands for all of it. A `key` of None is not known: it
    is that of the row now.
    """

    order: str
    key: Key | None
    id: int
    digest: str = ""

    @classmethod
    def at(cls, order: str, key: Key, row_id: int) -> "Position":
        if isinstance(key, str) and len(key) > KEY_LETTERS:
            return cls(order, key[:KEY_LETTERS], row_id, digest(key))
        return cls(order, key, row_id)

    def encode(self, signing: Signing) -> str:
        content = orjson.dumps([self.order, self.key, self.id, self.digest])
        return base64.urlsafe_b64encode(signing.of(content) + content).decode().rstrip("=")


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def decode(cursor: str | None, order: str, signing: Signing) -> Position | None:
    """The position that `cursor` stands for; None for None.

    Raises Invalid for one that this listing, sorted in this order, did not give out.
    """
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        signature, content = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if hmac.compare_digest(signature, signing.of(content)):
            position = Position(*orjson.loads(content))
        elif signing.unsigned_until is not None and utc_now() < signing.unsigned_until:
            position = _unsigned(orjson.loads(raw), order)
        else:
            raise ValueError("not signed")
    except (binascii.Error, ValueError, TypeError, OverflowError) as error:
        raise _not_ours() from error
    if position.order != order:
        raise _not_ours()
    return position


def _unsigned(content: Any, order: str) -> Position:
    """A cursor of the releases that did not sign them, `[order, key, id]`. Raises ValueError or TypeError.

    Anybody can make one, so that nothing about it is believed. To be deleted, with the column
    `installation.unsigned_cursors_until`, once no installation upgrades from those releases any more.
    """
    was, key, row_id = content
    # The order by relevance is that of one query, which those cursors did not name.
    sort = order.partition(":")[0]
    if was != sort or type(row_id) is not int or not 0 <= row_id <= MAX_ID:
        raise ValueError("not of this order")
    if sort in TEXT_ORDERS:
        if not isinstance(key, str) or not is_storable(key):
            raise ValueError("no text")
        # The database's own lower() made it.
        return Position.at(order, folded(key) if sort == "title" else key, row_id)
    if type(key) not in (int, float):
        raise ValueError("no number")
    # Films score otherwise now.
    return Position(order, None if sort == "relevance" else float(key), row_id)


def _not_ours() -> Invalid:
    return Invalid(errors={"cursor": "is not one that this listing gave out"})
