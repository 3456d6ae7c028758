"""Films that fit filters, and films that people mean by what they type.

A search by words asks in several ways at once, from the whole title down to what is merely spelt alike. Each
is an index scan that stops at some number of films, and a film counts by the closest way that finds it.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import CTE, BigInteger, Double, Row, Select, Text, cast, column, func, or_, select, text

from broker.database import Reader
from movies.commands import Search
from movies.cursor import digest
from movies.storage import ways
from movies.storage.filters import Filters
from movies.storage.movies import shown
from movies.storage.paging import Sort, page
from movies.storage.tables import MOVIE_STATS, MOVIES
from movies.storage.wanted import Wanted

# A popularity that JSON can carry, for rows that have none.
_FLOOR: Final = -1e300


def search(reader: Reader, asked: Search) -> tuple[Sequence[Row[Any]], str | None]:
    """A page of the movies that fit every filter, and the cursor of the next.

    Of a search by words the first `ways.MOST` in all.
    """
    filters = Filters.of(asked)
    if not asked.q:
        return page(reader, filters.narrow(shown()), MOVIES.c.id, _sort(asked.order), asked)
    wanted = Wanted.of(asked.q)
    found = _found(wanted, filters)
    query = shown().join(found, found.c.id == MOVIES.c.id)
    if asked.order == "relevance":
        order = f"relevance:{digest(wanted.key)}"
        return page(reader, query, MOVIES.c.id, Sort(order, found.c.score, descending=True), asked)
    # Sorted by something else, what is merely spelt alike would stand anywhere among what was meant.
    meant = or_(found.c.score >= ways.TEXT, select(func.max(found.c.score)).scalar_subquery() < ways.TEXT)
    return page(reader, query.where(meant), MOVIES.c.id, _sort(asked.order), asked)


def suggest(reader: Reader, q: str, limit: int) -> Sequence[Row[Any]]:
    """The films whose titles `q` may be the beginning of, the likeliest first."""
    wanted = Wanted.of(q)
    found_by = (*ways.by_title(wanted), *ways.by_slips(wanted))
    found = _cte(ways.scored(wanted, [way.sql(Filters()) for way in found_by]), wanted.values())
    query: Select[Any] = select(MOVIES.c.id, MOVIES.c.title, MOVIES.c.release_date, MOVIES.c.kind)
    query = query.join(found, found.c.id == MOVIES.c.id).order_by(found.c.score.desc(), MOVIES.c.id)
    return reader.execute(query.limit(limit)).all()


def _found(wanted: Wanted, filters: Filters) -> CTE:
    """The films that `wanted` may mean: `id` and `score`, the higher the closer."""
    queries = [way.sql(filters) for way in ways.ways(wanted)]
    values = filters.values | wanted.values()
    if (rest := wanted.without_year) is not None:
        queries += [way.sql(filters, ways.of_year(rest)) for way in ways.ways(rest)]
        queries += ways.of_other_years(rest, filters)
        values |= rest.values()
    alike = ways.alike(wanted, filters) if wanted.words else ""
    return _cte(ways.scored(wanted, queries, alike), values)


def _cte(sql: str, values: dict[str, Any]) -> CTE:
    # Put together of text: as SQLAlchemy's objects it took five times what PostgreSQL needs to run it.
    asked = {name: values[name] for name in re.findall(r":(\w+)", sql)}
    found = text(sql).bindparams(**asked)
    return found.columns(column("id", BigInteger), column("score", Double)).cte("found_by_words")


def _sort(order: str) -> Sort:
    day = cast(MOVIES.c.release_date, Text)
    sorts = {
        "rating": Sort(order, func.coalesce(MOVIE_STATS.c.rating, -1.0), descending=True),
        "popular": Sort(order, func.greatest(MOVIE_STATS.c.popularity, _FLOOR), descending=True),
        "latest": Sort(order, func.coalesce(day, ""), descending=True),
        "earliest": Sort(order, func.coalesce(day, "9999-12-31")),
        "title": Sort(order, MOVIES.c.title_key),
    }
    return sorts[order]
