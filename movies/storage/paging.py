"""Keyset paging: pages that neither repeat nor skip a row while others are added."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Engine, Row, Select, Text, and_, func, literal, or_, select
from sqlalchemy.orm import Session

from broker.clock import utc_now
from broker.database import Reader
from broker.signatures import Signer
from movies.commands import Page
from movies.cursor import Position, Signing, decode, digest
from movies.storage.tables import INSTALLATION

# The migration makes it, once: it is read once for each database that this process knows.
_signings: WeakKeyDictionary[Engine, Signing] = WeakKeyDictionary()

# Of a page's text. No row comes near it: the longest review has 80 KB.
PAGE_BYTES = 2**20
ROW_BYTES = 400  # of a row's names and numbers


@dataclass(frozen=True)
class Sort:
    """An order of rows by `key` (never null) and then by ascending id; without a key, by id alone.

    A key that is a long text sorts ascending.
    """

    name: str
    key: ColumnElement[Any] | None = None
    descending: bool = False


def page(
    reader: Reader, query: Select[Any], row_id: ColumnElement[int], sort: Sort, asked: Page
) -> tuple[Sequence[Row[Any]], str | None]:
    """The rows of `query` that `asked` is for, and the cursor of the next page, None on the last.

    Raises Invalid for a cursor that this order did not give out.
    """
    signing = _signing(reader)
    after = decode(asked.cursor, sort.name, signing)
    if sort.key is None:
        query = query.order_by(row_id.desc() if sort.descending else row_id)
        if after is not None:
            query = query.where(row_id < after.id if sort.descending else row_id > after.id)
    else:
        order = sort.key.desc() if sort.descending else sort.key
        beyond = None if after is None else _beyond(reader, query, row_id, sort, after)
        query = query.add_columns(sort.key.label("sort_key")).order_by(order, row_id)
        if beyond is not None:
            query = query.where(beyond)
    rows, more = bounded(reader, query, asked.limit)
    if not more:
        return rows, None
    key = 0.0 if sort.key is None else rows[-1].sort_key
    return rows, Position.at(sort.name, key, rows[-1].id).encode(signing)


def bounded(reader: Reader, query: Select[Any], limit: int) -> tuple[Sequence[Row[Any]], bool]:
    """The first rows of an ordered query, `limit` at most and not more than PAGE_BYTES, and whether there are
    more. The database counts the bytes, of texts alone: what does not go onto the page is not read.
    """
    # One row more than asked for tells whether there are more.
    asked = query.limit(limit + 1).subquery()
    texts = [column for column in asked.c if isinstance(column.type, Text)]
    size = sum((func.coalesce(func.octet_length(text), 0) for text in texts), literal(ROW_BYTES))
    # In the order of the query: a window over no order of its own takes the rows as they come.
    so_far = func.sum(size).over(rows=(None, 0))
    measured = select(asked, size.label("row_bytes"), so_far.label("bytes_so_far")).subquery()
    # The first row that is too much comes too, and tells the same.
    begins_within = measured.c.bytes_so_far - measured.c.row_bytes < PAGE_BYTES
    rows = reader.execute(select(measured).where(begins_within).order_by(measured.c.bytes_so_far)).all()
    fitting = [row for row in rows[:limit] if row.bytes_so_far <= PAGE_BYTES]
    return fitting, len(rows) > len(fitting)


def _beyond(
    reader: Reader, query: Select[Any], row_id: ColumnElement[int], sort: Sort, after: Position
) -> ColumnElement[bool] | None:
    """What comes after a position; None where all does."""
    assert sort.key is not None  # noqa: S101
    key = after.key
    if key is None or after.digest:
        key = reader.scalar(query.with_only_columns(sort.key).where(row_id == after.id))
    if key is None and after.key is None:
        return None
    if after.digest and (key is None or digest(str(key)) != after.digest):
        # The row is gone, or sorts otherwise now. Those that begin as it did may come again; none is skipped.
        return sort.key >= after.key
    past = sort.key < key if sort.descending else sort.key > key
    return or_(past, and_(sort.key == key, row_id > after.id))


def _signing(reader: Reader) -> Signing:
    engine = reader.get_bind().engine if isinstance(reader, Session) else reader.engine
    if (signing := _signings.get(engine)) is None:
        left = INSTALLATION.c.unsigned_cursors_until - func.now()
        row = reader.execute(select(INSTALLATION.c.cursor_key, left.label("left"))).one()
        # By our own clock, which may be another than the one that the moment is of.
        until = None if row.left is None else utc_now() + row.left
        signing = _signings[engine] = Signing(bytes(row.cursor_key), until)
    return signing


def signer(reader: Reader) -> Signer:
    """What signs the events of this installation: its key follows from the one that signs cursors."""
    return Signer(bytes(reader.execute(select(INSTALLATION.c.cursor_key)).scalar_one()), "movies")
