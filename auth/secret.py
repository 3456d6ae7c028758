"""`python -m auth.secret`: encrypts the signing keys with another SIGNING_KEY_SECRET, all of them or none.

Nobody is signed out by it. Both secrets come from the environment, OLD_SIGNING_KEY_SECRET and
NEW_SIGNING_KEY_SECRET, or are asked for at the terminal; an empty one stands for keys in the clear. auth may
run meanwhile: what it has opened it goes on signing with, until it is started again with the new secret.
"""

import argparse
import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from auth import key_storage
from auth.domain import KeyRing
from broker import config
from broker.config import ConfigurationError, Settings
from broker.database import Transaction, engine
from broker.errors import PlatformError
from broker.validation import is_storable

SECONDS = 60.0
CONNECTIONS = 20  # of an embedded PostgreSQL that is started for this alone


class Refused(Exception):
    """Nothing was changed; the text says why, in one line."""


@dataclass(frozen=True)
class Changed:
    """How many keys were encrypted anew, how many were already, and how many have a third secret."""

    keys: int
    already: int
    others: int


def main() -> int:
    """The exit status: 0, or 2 where nothing was changed, with one line of why."""
    parser = argparse.ArgumentParser(
        prog="python -m auth.secret",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, default=config.path_from_environment(), help="settings file")
    options = parser.parse_args()
    try:
        settings = config.settings(config.read(options.config))
        old = _secret("OLD_SIGNING_KEY_SECRET", "SIGNING_KEY_SECRET until now (empty: none)")
        new = _secret("NEW_SIGNING_KEY_SECRET", "SIGNING_KEY_SECRET from now on (empty: none)", twice=True)
        with _database(settings) as transaction, transaction() as session:
            changed = change(session, old, new)
    except ConfigurationError as error:
        return config.refuse(error, "auth.secret")
    except (PlatformError, Refused) as error:
        print(f"auth.secret: {error}", file=sys.stderr)
        return 2
    except ProgrammingError:
        print("auth.secret: there are no signing keys yet (make migrate makes the tables)", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, EOFError):
        print("\nauth.secret: nothing was changed", file=sys.stderr)
        return 2
    print(_told(changed, new))
    return 0


def change(session: Session, old: str, new: str) -> Changed:
    """Encrypt with `new` what `old` opens, and what lies in the clear; what neither opens is left as it is.

    Raises Refused where `old` is not the secret of any key that is encrypted.
    """
    if old == new:
        raise Refused("the two secrets are the same: nothing was changed")
    key_storage.lock_keys(session)
    keys = key_storage.all_keys(session)
    known, done = KeyRing(old), KeyRing(new)
    opened = already = others = 0
    for key in keys:
        if key.is_encrypted == bool(new) and done.private(key) is not None:
            already += 1
        elif (rewritten := known.rewritten(key, new)) is not None:
            key_storage.rewrite_key(session, rewritten)
            opened += 1
        else:
            others += 1
    if others and not any(key.is_encrypted and known.private(key) for key in keys):
        raise Refused(f"the old secret opens none of {others} encrypted signing keys: nothing was changed")
    return Changed(opened, already, others)


def _told(changed: Changed, new: str) -> str:
    how = "are encrypted with the new secret" if new else "lie in the clear"
    already = f", {changed.already} did so before" if changed.already else ""
    others = f", {changed.others} of another secret are left as they are" if changed.others else ""
    return (
        f"signing keys that {how} now: {changed.keys}{already}{others}; "
        "set SIGNING_KEY_SECRET to the new one wherever auth runs, and start auth again"
    )


def _secret(name: str, question: str, *, twice: bool = False) -> str:
    """From the environment, or from whoever sits at the terminal. Never from the command line, which others
    can read.
    """
    secret = os.environ.get(name)
    if secret is None:
        if not sys.stdin.isatty():
            raise Refused(f"{name} is not set, and there is no terminal to ask at: nothing was changed")
        secret = getpass.getpass(f"{question}: ")
        if twice and getpass.getpass("The same again: ") != secret:
            raise Refused("that was not the same: nothing was changed")
    if not is_storable(secret) or len(secret.encode()) > config.MOST_SECRET_BYTES:
        raise Refused(
            f"{name} must be UTF-8 of {config.MOST_SECRET_BYTES} bytes at most: nothing was changed"
        )
    return secret


@contextmanager
def _database(settings: Settings) -> Iterator[Transaction]:
    """auth's: the one that the settings name, or the embedded one, which may be running or not."""
    if settings.AUTH_DATABASE_URL:
        yield Transaction(engine(settings.AUTH_DATABASE_URL, 1), SECONDS)
        return
    from broker.embedded_postgres import EmbeddedPostgres

    with EmbeddedPostgres(Path(settings.DATA_FOLDER), owner=False, connections=CONNECTIONS) as server:
        bind = engine(server.ensure_database("auth"), 1)
        try:
            yield Transaction(bind, SECONDS)
        finally:
            bind.dispose()


if __name__ == "__main__":
    sys.exit(main())
