"""Alembic's entry to auth's history."""

from broker import migration

migration.run("AUTH_DATABASE_URL")
