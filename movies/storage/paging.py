"""Keyset paging: pages that neither repeat nor skip a row while others are added."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Text, and_, func, literal, or_, select

from broker.database import Reader
from movies.commands import Page
from movies.cursor import Position, decode

# Of a page's text. No row comes near it: the longest review has 80 KB.
PAGE_BYTES = 2**20
ROW_BYTES = 400  # of a row's names and numbers


@dataclass(frozen=True)
class Sort:
    """An order of rows by `key` (never null) and then by ascending id; without a key, by id alone."""

    name: str
    key: ColumnElement[Any] | None = None
    descending: bool = False


def page(
    reader: Reader, query: Select[Any], row_id: ColumnElement[int], sort: Sort, asked: Page
) -> tuple[Sequence[Row[Any]], str | None]:
    """The rows of `query` that `asked` is for, and the cursor of the next page, None on the last.

    Raises Invalid for a cursor that this order did not give out.
    """
    after = decode(asked.cursor, sort.name)
    if sort.key is None:
        query = query.order_by(row_id.desc() if sort.descending else row_id)
        if after is not None:
            query = query.where(row_id < after.id if sort.descending else row_id > after.id)
    else:
        order = sort.key.desc() if sort.descending else sort.key
        query = query.add_columns(sort.key.label("sort_key")).order_by(order, row_id)
        if after is not None:
            beyond = sort.key < after.key if sort.descending else sort.key > after.key
            query = query.where(or_(beyond, and_(sort.key == after.key, row_id > after.id)))
    rows, more = bounded(reader, query, asked.limit)
    if not more:
        return rows, None
    key = 0.0 if sort.key is None else rows[-1].sort_key
    return rows, Position(sort.name, key, rows[-1].id).encode()


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
