"""Keyset paging: pages that neither repeat nor skip a row while others are added."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, or_
from sqlalchemy.orm import Session

from movies.cursor import Position


def page(
    session: Session,
    query: Select[Any],
    key: ColumnElement[Any],
    row_id: ColumnElement[int],
    *,
    order: str,
    descending: bool,
    limit: int,
    after: Position | None,
) -> tuple[Sequence[Row[Any]], str | None]:
    """`limit` rows of `query` after `after`, sorted by `key` and then by id, and the cursor of the next page.

    Rows of equal key go by ascending id, also where the key descends. The cursor is None on the last page.
    """
    query = query.add_columns(key.label("sort_key")).order_by(key.desc() if descending else key, row_id)
    if after is not None:
        beyond = key < after.key if descending else key > after.key
        query = query.where(or_(beyond, and_(key == after.key, row_id > after.id)))
    return _cut(session, query, limit, lambda row: Position(order, row.sort_key, row.id))


def page_by_id(
    session: Session,
    query: Select[Any],
    row_id: ColumnElement[int],
    *,
    order: str,
    descending: bool,
    limit: int,
    after: Position | None,
) -> tuple[Sequence[Row[Any]], str | None]:
    """The same for rows in the order of their ids."""
    query = query.order_by(row_id.desc() if descending else row_id)
    if after is not None:
        query = query.where(row_id < after.id if descending else row_id > after.id)
    return _cut(session, query, limit, lambda row: Position(order, 0.0, row.id))


def _cut(
    session: Session, query: Select[Any], limit: int, position: Callable[[Row[Any]], Position]
) -> tuple[Sequence[Row[Any]], str | None]:
    # One row more than asked for tells whether there is another page.
    rows = session.execute(query.limit(limit + 1)).all()
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], position(rows[limit - 1]).encode()
