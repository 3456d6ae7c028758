"""Gives films the keys that they are found by, where those are not made of what is shown: to films of before
there were keys, and to those that the release before has written since.
"""

from typing import Any

import orjson
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from broker.text import kept
from movies.storage.keys import SOURCES, keys

BATCH = 500

_UNKEYED = text(
    """
    SELECT id, title, director, description, genre FROM movies
    WHERE keyed_at IS NULL AND id > :after ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
    """
)
_KEY = text(
    """
    UPDATE movies SET
        title = of.title, director = of.director, description = of.description, genre = of.genre,
        genres = of.genres, title_key = of.title_key, director_key = of.director_key,
        title_joined = of.title_joined, title_bare = of.title_bare,
        title_words = array_to_tsvector(of.title_words), name_words = array_to_tsvector(of.name_words),
        all_words = array_to_tsvector(of.all_words), slips = of.slips, spelling = of.spelling,
        keyed_at = clock_timestamp()
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS of(
        id bigint, title text, director text, description text, genre text, genres text[], title_key text,
        director_key text, title_joined text, title_bare text, title_words text[], name_words text[],
        all_words text[], slips bigint[], spelling text)
    WHERE movies.id = of.id
    """
)


def key_some(session: Session | Connection, after: int = 0, most: int = BATCH) -> int | None:
    """Key so many films of those with a higher id than `after`, their texts brought into their one form.

    Answers the last one's id, None where there are no more. Those that somebody is changing are passed over.
    """
    films = session.execute(_UNKEYED, {"after": after, "most": most}).all()
    if not films:
        return None
    rows: list[dict[str, Any]] = []
    for film in films:
        shown = {name: kept(getattr(film, name)) for name in SOURCES}
        rows.append({"id": film.id, **shown, **keys(**shown)})
    session.execute(_KEY, {"rows": orjson.dumps(rows).decode()})
    return int(films[-1].id)
