"""Whether movies' data go with auth's; and where auth's are in a new history, what became of the accounts."""

import logging
from contextlib import suppress
from typing import Protocol

from broker import history_table
from broker.database import Transaction
from broker.errors import ServiceUnavailable
from broker.hints import MOST_ASKED
from broker.history import History
from broker.history_watch import Watch
from movies.handlers import people
from movies.storage import reviews as storage

_log = logging.getLogger(__name__)

MOST_QUESTIONS = 20  # to auth, in one go
APART = (
    "the databases of auth and movies are of two histories: restore both from one backup (make restore), or "
    "stop the platform and have them begin a new history together (make new-history)"
)


class Accounts(people.Accounts, Protocol):
    def ask_for_history(self) -> History | None:
        """Auth's; None where it is of a release before. Raises ServiceUnavailable."""


def follow(transaction: Transaction, accounts: Accounts, watch: Watch) -> None:
    """Compare the histories, and ask about accounts whose uid is not known, or all once auth's is a new one.

    What cannot be asked now is left to the next time.
    """
    if watch.current is None:
        return
    with suppress(ServiceUnavailable):
        auth = accounts.ask_for_history()
        if auth is not None:
            watch.note("beside", APART if _are_apart(watch.current, auth) else None)
            if watch.trouble is None:
                _catch_up(transaction, accounts, watch.current, auth)


def _are_apart(movies: History, auth: History) -> bool:
    """Whether auth's data are not those that movies' were written beside, nor what became of them."""
    return movies.beside not in (None, auth.id, *auth.before)


def _catch_up(transaction: Transaction, accounts: Accounts, movies: History, auth: History) -> None:
    if movies.beside != auth.id or not movies.is_settled:
        if movies.beside is not None:
            _log.warning("auth is asked about every account: one of the databases is in a new history")
            _ask_about_all(transaction, accounts)
        with transaction() as session:
            history_table.set_beside(session, movies, auth.id)
    for _ in range(MOST_QUESTIONS):
        with transaction.reading() as reader:
            unasked = storage.reviewers_without_uid(reader, MOST_ASKED)
        if not unasked:
            return
        people.look_up(transaction, accounts, unasked)


def _ask_about_all(transaction: Transaction, accounts: Accounts) -> None:
    last = 0
    while True:
        with transaction.reading() as reader:
            some = storage.reviewers_after(reader, last, MOST_ASKED)
        if not some:
            return
        people.look_up(transaction, accounts, some)
        last = some[-1].user_id
