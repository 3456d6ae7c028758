"""The keys that sign access tokens, whatever becomes of the secret that they are encrypted with.

A key that a process cannot open is passed over: the newest that it can open signs, and where there is none it
makes one. So processes with different secrets have a key each, and tokens of all of them are good, as the
public halves are there for everybody. After KEPT_ASIDE, longer than a change of the secret takes on all
processes, what cannot be opened is retired.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from auth import domain, key_storage
from auth.domain import SigningKey, TokenSettings
from broker import database
from broker.database import Reader, Transaction
from broker.errors import ServiceUnavailable
from broker.idempotency import Write
from broker.tally import Tally

_log = logging.getLogger(__name__)

KEPT_ASIDE = timedelta(days=1)
# In KEPT_ASIDE: a process whose secret is another one at each start must not make keys for ever.
MOST_MADE = 20
MOST_NAMED = 3
NO_MORE_KEYS = "The signing keys cannot be read"

_refused = Tally(_log, "no signing key is made under %s")


def key(session: Session, tokens: TokenSettings, now: datetime) -> SigningKey:
    """The key that signs; made here, by whoever needs it first, where none can be opened.

    Raises ServiceUnavailable where too many have been made so.
    """
    if found := _newest(session, tokens):
        return found
    key_storage.lock_keys(session)
    if found := _newest(session, tokens):
        return found
    if (made := key_storage.keys_made_since(session, now - KEPT_ASIDE)) >= MOST_MADE:
        _refused.note("SIGNING_KEY_SECRET", f"it opens none of {made} that were made within a day")
        raise ServiceUnavailable(NO_MORE_KEYS)
    fresh = domain.new_signing_key(tokens.secret)
    key_storage.add_key(session, fresh, now)
    return fresh


def rotate(transaction: Transaction, tokens: TokenSettings, write: Write) -> str:
    with transaction() as session:
        if earlier := write.claim(session):
            return str(earlier.answer)
        key_storage.lock_keys(session)
        key_storage.retire_keys(session, write.now)
        fresh = domain.new_signing_key(tokens.secret)
        key_storage.add_key(session, fresh, write.now)
        return write.settle(session, fresh.kid)


def published(session: Session, tokens: TokenSettings, now: datetime) -> list[dict[str, Any]]:
    """The public halves as JSON Web Keys; one key that cannot be read keeps nobody from the others."""
    keys = key_storage.published_keys(session, retirement_limit(tokens, now))
    _tell_of_unreadable(keys, tokens)
    halves = {each.kid: tokens.ring.public(each) for each in keys}
    return [domain.jwk(kid, public) for kid, public in halves.items() if public is not None]


def retirement_limit(tokens: TokenSettings, now: datetime) -> datetime:
    """Of keys retired earlier no token is good any more."""
    return now - timedelta(seconds=tokens.lifetime) - domain.RETIREMENT_MARGIN


def settle(transaction: Transaction, tokens: TokenSettings, now: datetime) -> None:
    """Have the keys lie in the database as they should: encrypted where there is a secret, each with its
    public half; and retire those that nobody can have opened for a while.
    """
    with transaction() as session:
        key_storage.lock_keys(session)
        wanting = key_storage.half_written_keys(session, encrypted=bool(tokens.secret))
        bare = 0
        for each in wanting:
            if (rewritten := tokens.ring.rewritten(each, tokens.secret)) is not None:
                key_storage.rewrite_key(session, rewritten)
                bare += rewritten.is_encrypted and not each.is_encrypted
        live = key_storage.live_keys(session)
        unreadable = {each.kid for each in _unreadable(live, tokens)}
        # Those who may have another secret have had the time to be started again.
        if unreadable and key_storage.live_since(session, now - KEPT_ASIDE) - unreadable:
            key_storage.retire_keys(session, now, unreadable)
    if bare:
        _log.info("encrypted the signing keys that lay in the clear: %d", bare)
    _tell_of_unreadable(live, tokens)


def status(transaction: Transaction, tokens: TokenSettings) -> dict[str, str]:
    """`database.status` and, where not all keys can be opened, `keys`: "Unreadable", or "… in part"."""
    answer = database.status(transaction)
    if answer["status"] != "OK":
        return answer
    try:
        with transaction.reading() as reader:
            live = key_storage.live_keys(reader)
            why = why_not_ready(reader, tokens, transaction.now())
    except ServiceUnavailable:
        return {"status": "ERROR", "database": "Not connected", "error": "The database cannot be reached"}
    if why is not None:
        return {**answer, "status": "ERROR", "keys": "Unreadable", "error": why}
    return {**answer, "keys": "Unreadable in part"} if _unreadable(live, tokens) else answer


def why_not_ready(reader: Reader, tokens: TokenSettings, now: datetime) -> str | None:
    """Why nobody can sign in, as far as the keys go: none can be opened, and none may be made any more."""
    if _newest(reader, tokens) or key_storage.keys_made_since(reader, now - KEPT_ASIDE) < MOST_MADE:
        return None
    return NO_MORE_KEYS


def _newest(reader: Reader, tokens: TokenSettings) -> SigningKey | None:
    return next((each for each in key_storage.live_keys(reader) if tokens.ring.private(each)), None)


def _unreadable(keys: Iterable[SigningKey], tokens: TokenSettings) -> list[SigningKey]:
    return [each for each in keys if tokens.ring.private(each) is None]


def _tell_of_unreadable(keys: Iterable[SigningKey], tokens: TokenSettings) -> None:
    """A line about those that have not been told of, however often they are met."""
    untold = [each for each in _unreadable(keys, tokens) if tokens.ring.tell_of(each)]
    if not untold:
        return
    named = ", ".join(each.kid[:40] for each in untold[:MOST_NAMED])
    _log.warning(
        "setting SIGNING_KEY_SECRET does not open %d of the signing keys (%s%s): another one signs, and who "
        "signed in by them %s; `make change-secret` brings them back where their secret is known",
        len(untold),
        named,
        ", …" if len(untold) > MOST_NAMED else "",
        "must sign in again" if any(each.public_half is None for each in untold) else "stays signed in",
    )
