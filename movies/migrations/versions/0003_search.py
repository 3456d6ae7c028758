"""Films are found by keys that Python makes, under extensions of PostgreSQL's own; cursors are signed.

The release before goes on reading and writing: what it needs stays (`trigrams`, `document` and their indexes,
for a later release to drop), what it does not know has defaults, and a film that it has written is marked by
having no `keyed_at`: the service keys it soon. Where there are films already, what takes time (their keys,
and the indexes of those) is done in steps that may be repeated, and nobody waits for them.
"""

import secrets

from alembic import op
from alembic.util import CommandError
from sqlalchemy import Connection, exc, text

from broker.migration import build_index, in_steps
from movies.storage.keying import key_some

revision = "0003"
down_revision = "0002"

EXTENSIONS = ("pg_trgm", "fuzzystrmatch")
# How long cursors of the release before this one are honoured.
UNSIGNED_CURSORS = "30 days"

COLUMNS = {
    "title_key": "text COLLATE \"C\" NOT NULL DEFAULT ''",
    "director_key": "text COLLATE \"C\" NOT NULL DEFAULT ''",
    "title_joined": "text COLLATE \"C\" NOT NULL DEFAULT ''",
    "title_bare": "text COLLATE \"C\" NOT NULL DEFAULT ''",
    "title_words": "tsvector NOT NULL DEFAULT ''",
    "name_words": "tsvector NOT NULL DEFAULT ''",
    "all_words": "tsvector NOT NULL DEFAULT ''",
    "slips": "bigint[] NOT NULL DEFAULT '{}'",
    "spelling": "text COLLATE \"C\" NOT NULL DEFAULT ''",
    "keyed_at": "timestamptz",
}
# What the planner believes of a set without statistics is little enough for it to always take the index: with
# them it reads the whole table for words that are common by themselves but nowhere together.
BEFORE_MAIN = ("title", "genre", "director", "poster_url", "genres")
SETS = ("title_words", "name_words", "all_words", "slips")
OF_BEFORE = ("trigrams", "document")
KEPT_ASIDE = (*SETS, *OF_BEFORE)
# Whoever writes a film with its keys says when. An older release changes what they are made from, no more.
UNKEYED = (
    """
    CREATE OR REPLACE FUNCTION movies_unkeyed() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.keyed_at := NULL; RETURN NEW; END $$
    """,
    """
    CREATE OR REPLACE TRIGGER movies_unkeyed BEFORE UPDATE ON movies FOR EACH ROW WHEN (
        NEW.keyed_at IS NOT DISTINCT FROM OLD.keyed_at
        AND (NEW.title, NEW.director, NEW.description, NEW.genre)
            IS DISTINCT FROM (OLD.title, OLD.director, OLD.description, OLD.genre))
    EXECUTE FUNCTION movies_unkeyed()
    """,
)
# Of these only the indexes are asked: they lie apart, so that the rows that a list is sorted from stay small.
# The others are read for every film that is found or shown.
TABLE = (
    "ALTER TABLE movies ALTER COLUMN trigrams SET DEFAULT '{}', "
    + ", ".join(f"ADD COLUMN IF NOT EXISTS {name} {kind}" for name, kind in COLUMNS.items()),
    "ALTER TABLE movies SET (toast_tuple_target = 256)",
    "ALTER TABLE movies " + ", ".join(f"ALTER COLUMN {name} SET STORAGE EXTERNAL" for name in KEPT_ASIDE),
    "ALTER TABLE movies "
    + ", ".join(
        f"ALTER COLUMN {name} SET STORAGE MAIN"
        for name in (*BEFORE_MAIN, *COLUMNS)
        if name not in (*SETS, "keyed_at")
    ),
    "ALTER TABLE movies " + ", ".join(f"ALTER COLUMN {name} SET STATISTICS 0" for name in SETS),
    *UNKEYED,
)
# fastupdate=off: a search must not pay for the pending list that earlier writes left.
INDEXES = {
    "movies_title_joined": "ON movies (title_joined)",
    "movies_title_bare": "ON movies (title_bare)",
    "movies_title_key": "ON movies USING gin (title_key gin_trgm_ops) WITH (fastupdate = off)",
    "movies_words": "ON movies USING gin (title_words, name_words, all_words) WITH (fastupdate = off)",
    "movies_slips": "ON movies USING gin (slips) WITH (fastupdate = off)",
    "movies_spelling": "ON movies USING gin (spelling gin_trgm_ops) WITH (fastupdate = off)",
    "movies_no_keys": "ON movies (id) WHERE keyed_at IS NULL",
}
REVIEWS_IN_FORM = text(
    """
    WITH batch AS (
        SELECT id FROM reviews WHERE id > :after ORDER BY id LIMIT 5000
    ), written AS (
        UPDATE reviews SET title = normalize(title, NFC), body = normalize(body, NFC)
        FROM batch WHERE reviews.id = batch.id
            AND (reviews.title IS NOT NFC NORMALIZED OR reviews.body IS NOT NFC NORMALIZED)
    )
    SELECT max(id) FROM batch
    """
)

# What the release before lacks of films that this one has made, as far as SQL alone can.
BACK = (
    "DROP TABLE installation",
    "DROP TRIGGER movies_unkeyed ON movies",
    "DROP FUNCTION movies_unkeyed",
    "ALTER TABLE movies ALTER COLUMN trigrams DROP DEFAULT, "
    + ", ".join(f"DROP COLUMN {name}" for name in COLUMNS),
    "ALTER TABLE movies RESET (toast_tuple_target)",
    "ALTER TABLE movies "
    + ", ".join(f"ALTER COLUMN {name} SET STORAGE EXTENDED" for name in (*BEFORE_MAIN, *OF_BEFORE)),
    "UPDATE movies SET trigrams = show_trgm(title || ' ' || director) WHERE trigrams = '{}'",
)


def upgrade() -> None:
    connection = op.get_bind()
    for extension in EXTENSIONS:
        _create(connection, extension)
    for statement in TABLE:
        op.execute(statement)
    if connection.scalar(text("SELECT EXISTS (SELECT FROM movies)")):
        with op.get_context().autocommit_block():
            _fill(op.get_bind())
            _build(op.get_bind())
    else:
        for name, definition in INDEXES.items():
            op.execute(f"CREATE INDEX {name} {definition}")
    op.execute("CREATE TABLE installation (cursor_key bytea NOT NULL, unsigned_cursors_until timestamptz)")
    made = f"""
        INSERT INTO installation
        SELECT :key, CASE WHEN EXISTS (SELECT FROM movies) THEN now() + interval '{UNSIGNED_CURSORS}' END
    """  # noqa: S608
    op.get_bind().execute(text(made), {"key": secrets.token_bytes(32)})


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
    """Texts in their one form, and the keys made from them, a bounded number of rows at a time."""
    film: int | None = 0
    review: int | None = 0

    def key_films(own: Connection) -> bool:
        nonlocal film
        film = key_some(own, film or 0)
        return film is not None

    def bring_reviews_into_form(own: Connection) -> bool:
        nonlocal review
        review = own.scalar(REVIEWS_IN_FORM, {"after": review})
        return review is not None

    in_steps(connection, key_films)
    in_steps(connection, bring_reviews_into_form)


def _build(connection: Connection) -> None:
    for name, definition in INDEXES.items():
        build_index(connection, name, definition)
    connection.execute(text("ANALYZE movies"))
