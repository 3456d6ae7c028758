"""Alembic's entry to auth's history."""

from broker import migration

# What the newest migration makes serves the release before too, whose schema was of this revision.
migration.run("AUTH_DATABASE_URL", serves="0002")
