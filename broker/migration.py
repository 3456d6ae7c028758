"""Runs a service's Alembic history on the database that a setting names."""

from alembic import context
from sqlalchemy import create_engine, pool, text

from broker import config, new_history

# One migration at a time per database, however many containers start together.
MIGRATION_LOCK = 0xA1E0B1C
PARTS: dict[str, new_history.Part] = {"AUTH_DATABASE_URL": "auth", "MOVIES_DATABASE_URL": "movies"}


def run(url_setting: str) -> None:
    """What each `migrations/env.py` does: upgrade online, in one transaction, under a lock. A database that
    was restored or copied by hand is in a new history then.

    Raises ConfigurationError where the setting is empty.
    """
    url = context.config.attributes.get("url")
    if url is None:
        url = getattr(config.settings(config.read(config.path_from_environment())), url_setting)
    if not url:
        raise config.ConfigurationError(f"setting {url_setting} is empty: there is no database to migrate")
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            context.run_migrations()
            new_history.begin_where_moved(connection, PARTS[url_setting])
