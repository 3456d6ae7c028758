"""Alembic's entry to movies's history."""

from broker import migration

migration.run("MOVIES_DATABASE_URL")
