"""Keyset paging: pages that neither repeat nor skip a row while others are added."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, or_

from broker.database import Reader
from movies.commands import Page
from movies.cursor import Position, decode


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
    # One row more than asked for tells whether there is another page.
    rows = reader.execute(query.limit(asked.limit + 1)).all()
    if len(rows) <= asked.limit:
        return rows, None
    last = rows[asked.limit - 1]
    key = 0.0 if sort.key is None else last.sort_key
    return rows[: asked.limit], Position(sort.name, key, last.id).encode()
