"""Use cases of the people behind reviews: who they are is for auth to say."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from sqlalchemy import Row
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

    def several(self, user_ids: Sequence[int]) -> Mapping[int, Account]:
        """Those of MOST_ASKED accounts that there are. Raises ServiceUnavailable."""


class Stranger(Exception):
    """Auth has never been asked about who writes."""


def known(session: Session, actor: Actor) -> None:
    """Have the actor's account stay until the transaction ends. Raises Stranger."""
    if not storage.hold_reviewer(session, actor):
        raise Stranger


def same(session: Session, actor: Actor) -> None:
    """Raises Stranger where the actor's id, by which what it wrote is found, may be somebody else's."""
    if actor.uid is not None:
        known(session, actor)


def introduced(
    transaction: Transaction, accounts: Accounts, actor: Actor, write: Callable[[Actor], Answer]
) -> Answer:
    """What `write` answers, done by somebody who has an account: auth is asked about each once.

    Raises Unauthenticated where there is no such account, or another one by this id.
    """
    try:
        return write(actor)
    except Stranger:
        account = _existing(accounts, actor)
        _know(transaction, accounts, account)
    try:
        return write(replace(actor, uid=account.uid))
    except Stranger as error:  # it was deleted at this very moment
        raise _nobody() from error


def confirmed(accounts: Accounts, actor: Actor) -> Actor:
    """The actor in the role that auth says; one who claims none has none. Raises Unauthenticated."""
    if not actor.is_staff:
        return actor
    account = _existing(accounts, actor)
    return Actor(actor.id, account.username, account.role, actor.uid)


def follow(transaction: Transaction, accounts: Accounts, user_id: int) -> None:
    """Something of a user changed, it is said: the name is taken from auth. Who is not there has none."""
    account = accounts.now(user_id)
    if account is not None:
        _know(transaction, accounts, account)


def forget(transaction: Transaction, accounts: Accounts, user_id: int) -> None:
    """An account is gone, it is said, and auth knows it no more: what it wrote stays, unsigned."""
    account = accounts.now(user_id)
    if account is None:
        _unsign(transaction, user_id)
    elif not _part(transaction, account):
        _log.warning("user %d is said to be deleted and is not: nothing is done", user_id)


def look_up(transaction: Transaction, accounts: Accounts, reviewers: Sequence[Row[Any]]) -> None:
    """Take over what auth says of these, MOST_ASKED at most: whom it does not know is gone.

    Raises ServiceUnavailable.
    """
    if not reviewers:
        return
    said = accounts.several([each.user_id for each in reviewers])
    for each in reviewers:
        account = said.get(each.user_id)
        if account is None:
            _unsign(transaction, each.user_id)
        elif (each.uid and each.uid.hex, each.version) != (account.uid, account.version):
            _know(transaction, accounts, account)


def _existing(accounts: Accounts, actor: Actor) -> Account:
    """The account of who asks. Raises Unauthenticated where there is none, or it is somebody else's."""
    account = accounts.now(actor.id)
    if account is None or (None not in (actor.uid, account.uid) and actor.uid != account.uid):
        raise _nobody()
    return account


def _know(transaction: Transaction, accounts: Accounts, account: Account) -> None:
    """Keep the account's name, unless one of a later version is known that auth stands by."""
    _part(transaction, account)
    with transaction() as session:
        kept = storage.know_reviewer(session, account)
    if kept is None:
        return
    # Auth's word too, if it was asked later; it must have been, or nobody of ours has written that.
    again = accounts.now(account.id)
    if again is not None and again.version < kept:
        with transaction() as session:
            storage.correct_reviewer(session, again, kept)


def _part(transaction: Transaction, account: Account) -> bool:
    """Leave nothing of whoever had the account's id before to the account; whether there was somebody."""
    with transaction.reading() as reader:
        if not storage.is_another(reader, account):
            return False
    _log.warning("user %d is another account than it was: what that one wrote is unsigned", account.id)
    _unsign(transaction, account.id)
    return True


def _unsign(transaction: Transaction, user_id: int) -> None:
    with transaction() as session:
        storage.unsign(session, user_id)
        movie_storage.disown(session, user_id)


def _nobody() -> Unauthenticated:
    return Unauthenticated("The account of whoever asks does not exist")
