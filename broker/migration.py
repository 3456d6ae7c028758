"""Runs a service's Alembic history on the database that a setting names."""

from alembic import context
from sqlalchemy import create_engine, pool, text

from broker import config

# One migration at a time per database, however many containers start together.
MIGRATION_LOCK = 0xA1E0B1C


def run(url_setting: str) -> None:
    """What each `migrations/env.py` does: upgrade online, in one transaction, under a lock.

    By `alembic` itself, settings that cannot be end the process, with code 2 and a line for each fault.
    """
    url = context.config.attributes.get("url")
    if url is None:
        try:
            url = _url(url_setting)
        except config.ConfigurationError as error:
            # Alembic has a traceback for what is raised here.
            raise SystemExit(config.refuse(error)) from None
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            context.run_migrations()


def _url(setting: str) -> str:
    url = str(getattr(config.settings(config.read(config.path_from_environment())), setting))
    if not url:
        raise config.ConfigurationError(f"setting {setting} is empty: there is no database to migrate")
    return url
