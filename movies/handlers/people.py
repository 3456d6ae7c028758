"""Use cases of the people behind reviews: who they are is for auth to say."""

import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy.orm import Session

from broker.database import Transaction
from broker.errors import Unauthenticated
from broker.tokens import Account
from movies.domain import Actor
from movies.storage import movies as movie_storage
from movies.storage import reviews as storage

_log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Accounts(Protocol):
    """See `movies.accounts.Accounts`."""

    def now(self, user_id: int) -> Account | None:
        """The account as auth says it is; None where there is none. Raises ServiceUnavailable."""


class Stranger(Exception):
    """Auth has never been asked about who writes."""


def known(session: Session, actor: Actor) -> None:
    """Have the actor's account stay until the transaction ends. Raises Stranger."""
    if not storage.hold_reviewer(session, actor.id):
        raise Stranger


def introduced(
    transaction: Transaction, accounts: Accounts, actor: Actor, write: Callable[[], Answer]
) -> Answer:
    """What `write` answers, done by somebody who has an account: auth is asked about each once.

    Raises Unauthenticated where there is no such account.
    """
    try:
        return write()
    except Stranger:
        _introduce(transaction, accounts, actor)
    try:
        return write()
    except Stranger as error:  # it was deleted at this very moment
        raise _nobody() from error


def confirmed(accounts: Accounts, actor: Actor) -> Actor:
    """The actor in the role that auth says; one who claims none has none. Raises Unauthenticated."""
    if not actor.is_staff:
        return actor
    account = accounts.now(actor.id)
    if account is None:
        raise _nobody()
    return Actor(actor.id, account.username, account.role)


def follow(transaction: Transaction, accounts: Accounts, user_id: int) -> None:
    """Something of a user changed, it is said: the name is taken from auth. Who is not there has none."""
    account = accounts.now(user_id)
    if account is not None:
        _know(transaction, accounts, account)


def forget(transaction: Transaction, accounts: Accounts, user_id: int) -> None:
    """An account is gone, it is said, and auth knows it no more: what it wrote stays, unsigned."""
    if accounts.now(user_id) is not None:
        _log.warning("user %d is said to be deleted and is not: nothing is done", user_id)
        return
    with transaction() as session:
        storage.unsign(session, user_id)
        movie_storage.disown(session, user_id)


def _introduce(transaction: Transaction, accounts: Accounts, actor: Actor) -> None:
    account = accounts.now(actor.id)
    if account is None:
        raise _nobody()
    _know(transaction, accounts, account)


def _know(transaction: Transaction, accounts: Accounts, account: Account) -> None:
    """Keep the account's name, unless one of a later version is known that auth stands by."""
    with transaction() as session:
        kept = storage.know_reviewer(session, account)
    if kept is None:
        return
    # Auth's word too, if it was asked later; it must have been, or nobody of ours has written that.
    again = accounts.now(account.id)
    if again is not None and again.version < kept:
        with transaction() as session:
            storage.correct_reviewer(session, again, kept)


def _nobody() -> Unauthenticated:
    return Unauthenticated("The account of whoever asks does not exist")
