"""Runs a service's Alembic history on the database that a setting names, beside those who work with it.

A migration that wants a table waits for it briefly, as everybody who comes after it waits behind it; then it
lets go, says who holds the table up, and tries again. Each migration is a transaction of its own, or consists
of steps that may be repeated, so one that is killed is done again by the next run.
"""

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from alembic import context
from sqlalchemy import Connection, Engine, create_engine, exc, pool, text

from broker import config, new_history, unfinished
from broker.blockers import Blockers
from broker.outages import first_line, outage
from broker.schema import note

_log = logging.getLogger(__name__)

# One migration at a time per database, however many containers start together.
MIGRATION_LOCK = 0xA1E0B1C
# For a table: less than a service waits for a statement, so that none of them fails meanwhile.
LOCK_SECONDS = 1.0
PAUSES = (2.0, 5.0, 10.0)  # between two tries; the last one for all that follow
STEP_SECONDS = 10  # for the rows of a step, for which nobody waits behind it
TAKE_TURNS_SECONDS = 0.2
CONNECT_SECONDS = 10
LOCK_NOT_AVAILABLE = "55P03"
DEADLOCK = "40P01"
FAILED, TOO_NEW = 1, 2  # exit codes
WAITS = "the migration of %s waits for %s: tries again in %g s, for %.0f s more"

_TAKE_TURN = text("SELECT pg_try_advisory_lock(:key)").bindparams(key=MIGRATION_LOCK)


class MigrationError(Exception):
    """A database is not migrated; one line for people."""

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.code = code


def run(url_setting: str, serves: str) -> None:
    """What each `migrations/env.py` does: upgrade online, under a lock.

    `serves`: the earliest revision whose release runs on what the newest migration makes. By `alembic`
    itself, settings that cannot be end the process, with code 2 and a line for each fault. So does a database
    that is not migrated, with one line: 2 where the data are a later release's, 1 for all else.
    """
    attributes = context.config.attributes  # of who calls Alembic as a library: `make run`, a restore
    if "connection" in attributes:
        _upgrade_within(attributes["connection"], serves)
        return
    if "url" in attributes:
        url, patience = attributes["url"], attributes["patience"]
    else:
        try:
            url, patience = _asked(url_setting)
        except config.ConfigurationError as error:
            # Alembic has a traceback for what is raised here.
            raise SystemExit(config.refuse(error)) from None
    part: new_history.Part = "auth" if url_setting == "AUTH_DATABASE_URL" else "movies"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eventlet announces its retirement, to whom a migration imports
        context.script.get_current_head()
    try:
        with _one_line():
            _migrate(url, part, serves, patience)
    except MigrationError as error:
        print(f"{part}: {error}", file=sys.stderr)
        raise SystemExit(error.code) from None


def _upgrade_within(connection: Connection, serves: str) -> None:
    """In the transaction of a restore, from which nobody else sees anything yet, and nobody waits."""
    context.configure(connection=connection)
    # Alembic would commit. A step has the same connection here, and an index is made in its transaction.
    vars(context.get_context())["autocommit_block"] = nullcontext
    with context.begin_transaction():
        context.run_migrations()
    connection.execute(text(note(serves)))


def _asked(setting: str) -> tuple[str, float]:
    """The database's URL, and for how many seconds to wait for others. Raises ConfigurationError."""
    settings = config.settings(config.read(config.path_from_environment()))
    url = str(getattr(settings, setting))
    if not url:
        raise config.ConfigurationError(f"setting {setting} is empty: there is no database to migrate")
    return url, settings.MIGRATION_PATIENCE


def _migrate(url: str, part: new_history.Part, serves: str, patience: float) -> None:
    engine = create_engine(
        url,
        poolclass=pool.NullPool,
        hide_parameters=True,
        connect_args={"application_name": f"migration of {part}", "connect_timeout": CONNECT_SECONDS},
    )
    until = time.monotonic() + patience
    with engine.connect() as connection, Blockers(engine, connection) as blockers:
        _take_turn(connection, until)
        _refuse_what_is_later(connection)
        _set_up(connection)
        for pause in _pauses(until):
            try:
                _upgrade(connection, part, serves)
                return
            except exc.DBAPIError as error:
                connection.rollback()
                if getattr(error.orig, "pgcode", None) not in (LOCK_NOT_AVAILABLE, DEADLOCK):
                    raise
            left = max(until - time.monotonic(), 0)
            _log.warning(WAITS, part, blockers.last_seen, pause, left)
            time.sleep(min(pause, left))
        raise MigrationError(
            f"others kept its tables for {patience:g} s ({blockers.last_seen}): end them, or give it longer "
            "by MIGRATION_PATIENCE"
        )


def _set_up(connection: Connection) -> None:
    connection.execute(text(f"SET lock_timeout = '{LOCK_SECONDS}s'"))
    connection.commit()
    with suppress(exc.DBAPIError):  # a server that runs elsewhere than on Linux may not be able to
        # The end of a process that is killed is noticed while its statement runs.
        connection.execute(text("SET client_connection_check_interval = '2s'"))
        connection.commit()
    connection.rollback()


def _upgrade(connection: Connection, part: new_history.Part, serves: str) -> None:
    """A database that was restored or copied by hand is in a new history then."""
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
    newest = context.script.get_current_head()
    if connection.scalar(text("SELECT max(version_num) FROM alembic_version")) == newest:
        connection.execute(text(note(serves)))
        new_history.begin_where_moved(connection, part)
    connection.commit()


def _take_turn(connection: Connection, until: float) -> None:
    """Become the only one that migrates this database. Raises MigrationError where that takes too long."""
    said = False
    while not connection.scalar(_TAKE_TURN):
        connection.commit()
        if time.monotonic() > until:
            raise MigrationError("another migration of it does not come to its end")
        if not said:
            said = True
            _log.warning("another migration is at work: waiting for it")
        time.sleep(TAKE_TURNS_SECONDS)
    connection.commit()


def _refuse_what_is_later(connection: Connection) -> None:
    if not connection.scalar(text("SELECT to_regclass('alembic_version') IS NOT NULL")):
        return
    if unfinished.is_marked(connection):
        raise MigrationError(unfinished.SENTENCE)
    known = {script.revision for script in context.script.walk_revisions()}
    for revision in connection.scalars(text("SELECT version_num FROM alembic_version")):
        if revision not in known:
            raise MigrationError(
                f"the data are at revision {revision}, of a later release than this one, which knows "
                f"{max(known)} at most: nothing was done; run the later release",
                TOO_NEW,
            )


def _pauses(until: float) -> Iterator[float]:
    tries = 0
    while not tries or time.monotonic() < until:
        yield PAUSES[min(tries, len(PAUSES) - 1)]
        tries += 1


@contextmanager
def _one_line() -> Iterator[None]:
    """What is the database's own fault is told in one line."""
    try:
        yield
    except exc.SQLAlchemyError as error:
        if outage(error) is None:
            raise
        raise MigrationError(f"the database does not do its share: {first_line(error)}") from error


def in_steps(connection: Connection, step: Callable[[Connection], bool]) -> None:
    """Call `step` until it answers False, in a transaction of its own each time.

    To be called in Alembic's `autocommit_block`, so that nothing is locked between two steps.
    """
    engine: Engine = connection.engine
    more = True
    while "connection" in context.config.attributes and more:
        more = step(connection)
    while more:
        with engine.begin() as own:
            own.execute(text(f"SET LOCAL lock_timeout = '{STEP_SECONDS}s'"))
            more = step(own)


def build_index(connection: Connection, name: str, definition: str) -> None:
    """Have an index there, without keeping anybody from writing: `definition` is what follows its name.

    Where one was begun and not finished it is begun anew. In Alembic's `autocommit_block`. It waits for all
    transactions of before, while nobody waits for it.
    """
    unique, of = ("UNIQUE ", definition[7:]) if definition.startswith("UNIQUE ") else ("", definition)
    if "connection" in context.config.attributes:
        connection.execute(text(f"CREATE {unique}INDEX {name} {of}"))
        return
    valid: Any = connection.scalar(
        text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"), {"name": name}
    )
    if valid:
        return
    connection.execute(text("SET lock_timeout = 0"))
    try:
        if valid is not None:
            connection.execute(text(f"DROP INDEX CONCURRENTLY {name}"))
        connection.execute(text(f"CREATE {unique}INDEX CONCURRENTLY {name} {of}"))
    finally:
        connection.execute(text(f"SET lock_timeout = '{LOCK_SECONDS}s'"))
