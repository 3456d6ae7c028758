"""Keyset paging: pages that neither repeat nor skip a row while others are added."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Engine, Row, Select, and_, or_, select
from sqlalchemy.orm import Session

from broker.database import Reader
from movies.commands import Page
from movies.cursor import Position, Signing, decode, digest
from movies.storage.tables import INSTALLATION

# The migration makes it, once: it is read once for each database that this process knows.
_signings: WeakKeyDictionary[Engine, Signing] = WeakKeyDictionary()


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
    # One row more than asked for tells whether there is another page.
    rows = reader.execute(query.limit(asked.limit + 1)).all()
    if len(rows) <= asked.limit:
        return rows, None
    last = rows[asked.limit - 1]
    key = 0.0 if sort.key is None else last.sort_key
    return rows[: asked.limit], Position.at(sort.name, key, last.id).encode(signing)


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
        row = reader.execute(select(INSTALLATION)).one()
        signing = _signings[engine] = Signing(bytes(row.cursor_key), row.unsigned_cursors_until)
    return signing
