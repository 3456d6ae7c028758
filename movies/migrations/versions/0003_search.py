"""Films are found by keys that Python makes, under extensions of PostgreSQL's own; cursors are signed."""

import secrets
from typing import Any

import orjson
from alembic import op
from alembic.util import CommandError
from sqlalchemy import Connection, exc, text

from broker.text import kept
from movies.storage.keys import SOURCES, keys

revision = "0003"
down_revision = "0002"

EXTENSIONS = ("pg_trgm", "fuzzystrmatch")
# Films whose keys one statement sets.
BATCH = 500
# How long cursors of the release before this one are honoured.
UNSIGNED_CURSORS = "30 days"

COLUMNS = {
    "title_key": 'text COLLATE "C"',
    "director_key": 'text COLLATE "C"',
    "title_joined": 'text COLLATE "C"',
    "title_bare": 'text COLLATE "C"',
    "title_words": "tsvector",
    "name_words": "tsvector",
    "all_words": "tsvector",
    "slips": "bigint[]",
    "spelling": 'text COLLATE "C"',
}
# Dropping a column drops its indexes; those of this release are built when the rows are filled.
BEFORE = (
    "DROP INDEX IF EXISTS movies_title",
    "DROP INDEX movies_genres",
    "ALTER TABLE movies DROP COLUMN trigrams, DROP COLUMN document, "
    + ", ".join(f"ADD COLUMN {name} {kind}" for name, kind in COLUMNS.items()),
)
FILL = """
UPDATE movies SET
    title = of.title, director = of.director, description = of.description, genre = of.genre,
    genres = of.genres, title_key = of.title_key, director_key = of.director_key,
    title_joined = of.title_joined, title_bare = of.title_bare,
    title_words = array_to_tsvector(of.title_words), name_words = array_to_tsvector(of.name_words),
    all_words = array_to_tsvector(of.all_words), slips = of.slips, spelling = of.spelling
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS of(
    id bigint, title text, director text, description text, genre text, genres text[], title_key text,
    director_key text, title_joined text, title_bare text, title_words text[], name_words text[],
    all_words text[], slips bigint[], spelling text)
WHERE movies.id = of.id
"""
# What the planner believes of a set without statistics is little enough for it to always take the index: with
# them it reads the whole table for words that are common by themselves but nowhere together.
BEFORE_MAIN = ("title", "genre", "director", "poster_url", "genres")
SETS = ("title_words", "name_words", "all_words", "slips")
# Of these only the indexes are asked: they lie apart, so that the rows that a list is sorted from stay small.
# The others are read for every film that is found or shown.
STORAGE = (
    "ALTER TABLE movies SET (toast_tuple_target = 256)",
    "ALTER TABLE movies " + ", ".join(f"ALTER COLUMN {name} SET STORAGE EXTERNAL" for name in SETS),
    "ALTER TABLE movies "
    + ", ".join(
        f"ALTER COLUMN {name} SET STORAGE MAIN" for name in (*BEFORE_MAIN, *COLUMNS) if name not in SETS
    ),
)
# fastupdate=off: a search must not pay for the pending list that earlier writes left.
AFTER = (
    "ALTER TABLE movies " + ", ".join(f"ALTER COLUMN {name} SET NOT NULL" for name in COLUMNS),
    "CREATE INDEX movies_title_joined ON movies (title_joined)",
    "CREATE INDEX movies_title_bare ON movies (title_bare)",
    "CREATE INDEX movies_genres ON movies USING gin (genres) WITH (fastupdate = off)",
    "CREATE INDEX movies_title_key ON movies USING gin (title_key gin_trgm_ops) WITH (fastupdate = off)",
    "CREATE INDEX movies_words ON movies USING gin (title_words, name_words, all_words)"
    " WITH (fastupdate = off)",
    "CREATE INDEX movies_slips ON movies USING gin (slips) WITH (fastupdate = off)",
    "CREATE INDEX movies_spelling ON movies USING gin (spelling gin_trgm_ops) WITH (fastupdate = off)",
    """
    UPDATE reviews SET title = normalize(title, NFC), body = normalize(body, NFC)
    WHERE title IS NOT NFC NORMALIZED OR body IS NOT NFC NORMALIZED
    """,
    "ALTER TABLE movies " + ", ".join(f"ALTER COLUMN {name} SET STATISTICS 0" for name in SETS),
    "ANALYZE movies",
)

# What 0001 made, filled as far as SQL alone can: the next film that is written has its trigrams again.
BACK = (
    "DROP TABLE installation",
    "DROP INDEX movies_title_key",
    "ALTER TABLE movies " + ", ".join(f"DROP COLUMN {name}" for name in COLUMNS),
    """
    ALTER TABLE movies
        ADD COLUMN trigrams text[],
        ADD COLUMN document tsvector GENERATED ALWAYS AS (
            setweight(to_tsvector('simple', title), 'A')
            || setweight(to_tsvector('simple', director), 'B')
            || setweight(to_tsvector('english', description), 'C')
        ) STORED
    """,
    "ALTER TABLE movies RESET (toast_tuple_target)",
    "ALTER TABLE movies " + ", ".join(f"ALTER COLUMN {name} SET STORAGE EXTENDED" for name in BEFORE_MAIN),
    "UPDATE movies SET trigrams = show_trgm(title || ' ' || director)",
    "ALTER TABLE movies ALTER COLUMN trigrams SET NOT NULL",
    "CREATE INDEX movies_trigrams ON movies USING gin (trigrams) WITH (fastupdate = off)",
    "CREATE INDEX movies_document ON movies USING gin (document) WITH (fastupdate = off)",
    "CREATE INDEX movies_title ON movies USING gin (title gin_trgm_ops) WITH (fastupdate = off)",
)


def upgrade() -> None:
    connection = op.get_bind()
    for extension in EXTENSIONS:
        _create(connection, extension)
    for statement in (*BEFORE, *STORAGE):
        op.execute(statement)
    _fill(connection)
    for statement in AFTER:
        op.execute(statement)
    op.execute("CREATE TABLE installation (cursor_key bytea NOT NULL, unsigned_cursors_until timestamptz)")
    made = f"""
        INSERT INTO installation
        SELECT :key, CASE WHEN EXISTS (SELECT FROM movies) THEN now() + interval '{UNSIGNED_CURSORS}' END
    """  # noqa: S608
    connection.execute(text(made), {"key": secrets.token_bytes(32)})


def downgrade() -> None:
    for statement in BACK:
        op.execute(statement)


def _create(connection: Connection, extension: str) -> None:
    """The extension, where it is not there yet. Raises CommandError, which Alembic prints as one line."""
    try:
        connection.execute(text(f"CREATE EXTENSION IF NOT EXISTS {extension}"))
    except exc.DBAPIError as error:
        if error.connection_invalidated:
            raise
        reason = str(error.orig).splitlines()[0]
        raise CommandError(
            f"movies needs PostgreSQL's extension {extension}, and cannot create it ({reason}): have contrib "
            "installed on the database's server, let an administrator run "
            f"CREATE EXTENSION {extension} in the database of movies, and migrate again"
        ) from None


def _fill(connection: Connection) -> None:
    """Texts in their one form, and the keys made from them, a bounded number of films at a time."""
    read = text(
        "SELECT id, title, director, description, genre FROM movies WHERE id > :id ORDER BY id LIMIT :n"
    )
    last = 0
    while films := connection.execute(read, {"id": last, "n": BATCH}).all():
        rows: list[dict[str, Any]] = []
        for film in films:
            shown = {name: kept(getattr(film, name)) for name in SOURCES}
            rows.append({"id": film.id, **shown, **keys(**shown)})
        connection.execute(text(FILL), {"rows": orjson.dumps(rows).decode()})
        last = films[-1].id
