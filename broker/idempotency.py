"""Writes happen once: what a key has done already is answered, not done again.

A write claims its key first thing in its own transaction, and leaves its answer there. A repetition that
comes later finds the answer; one that comes at the same time waits until the first has committed, and finds
it then. A write that fails takes its claim back with everything else, so that the key is free again.

Whoever reads the table learns neither keys nor arguments: a key is hashed together with the operation and the
person (which also keeps people out of each other's answers), and the arguments, which may hold a password,
are hashed under the key.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from nameko.extensions import DependencyProvider
from sqlalchemy import Column, DateTime, LargeBinary, MetaData, Table, delete, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from broker import config
from broker.clock import AHEAD
from broker.database import Database, Transaction
from broker.errors import KeyReused, ServiceUnavailable
from broker.validation import check_key

# Its own metadata: the table is made by SCHEMA_1 in each service's migrations.
KEYS = Table(
    "idempotency_keys",
    MetaData(),
    Column("key", LargeBinary, primary_key=True),  # SHA-256 of operation, person and key
    Column("fingerprint", LargeBinary, nullable=False),  # HMAC of the arguments
    Column("answer", JSONB),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

# What the migrations of auth and movies execute. Frozen: a change is a SCHEMA_2 and a migration that runs it.
SCHEMA_1 = (
    """
    CREATE TABLE idempotency_keys (
        key         bytea PRIMARY KEY,
        fingerprint bytea NOT NULL,
        answer      jsonb,
        created_at  timestamptz NOT NULL
    )
    """,
    "CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at)",
)

DROP_1 = ("DROP TABLE idempotency_keys",)

# How many rows one statement forgets: it must end well before the statement timeout.
FORGET_ROWS = 5000

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Earlier:
    """What a key has done already: the answer that was given then."""

    answer: Any


@dataclass(frozen=True)
class Write:
    """A write as it was asked for: when, and under which key; without a key it is done each time.

    As a handler uses it:

        with transaction() as session:
            if earlier := write.claim(session):
                return earlier.answer
            ...
            return write.settle(session, answer)
    """

    now: datetime
    key: bytes | None = None
    fingerprint: bytes = b""

    @classmethod
    def under(
        cls, key: str, operation: str, person: int | None, arguments: Sequence[Any], now: datetime
    ) -> "Write":
        """The write that `person` (None: anyone) asks of `operation` with `arguments`, as JSON has them."""
        return cls(now, _digest(operation, person, key), fingerprint(key, arguments))

    def claim(self, session: Session) -> Earlier | None:
        """Claim the key, before anything else in the transaction: what it has done already, or None.

        Waits for another transaction that has claimed it and goes on. Raises KeyReused.
        """
        if self.key is None or _insert(session, self.key, self.fingerprint, self.now):
            return None
        earlier = self.earlier(session)
        if earlier is None:
            # It was too old, and was forgotten between the two statements.
            raise ServiceUnavailable
        return earlier

    def earlier(self, session: Session) -> Earlier | None:
        """What the key has done already; None where that is nothing. Claims nothing. Raises KeyReused."""
        if self.key is None:
            return None
        row = session.execute(select(KEYS).where(KEYS.c.key == self.key)).one_or_none()
        if row is None:
            return None
        if row.fingerprint != self.fingerprint:
            raise KeyReused(errors={"Idempotency-Key": "was sent before, with other content"})
        return Earlier(row.answer)

    def settle(self, session: Session, answer: Answer) -> Answer:
        """Leave `answer`, which JSON can hold, to repetitions, and answer it. A null needs no settling."""
        if self.key is not None:
            session.execute(update(KEYS).where(KEYS.c.key == self.key).values(answer=answer))
        return answer


def forget(transaction: Transaction, before: datetime) -> None:
    """Forget the keys that were claimed before then, so many at a time. Any number may do so at once."""
    old = select(KEYS.c.key).where(KEYS.c.created_at < before).order_by(KEYS.c.created_at).limit(FORGET_ROWS)
    statement = delete(KEYS).where(KEYS.c.key.in_(old.with_for_update(skip_locked=True)))
    forgotten = FORGET_ROWS
    while forgotten == FORGET_ROWS:
        with transaction() as session:
            forgotten = len(session.execute(statement.returning(KEYS.c.created_at)).all())


def recall(transaction: Transaction, now: datetime) -> None:
    """What was claimed in the future, under a clock that was wrong, is kept from now on as if it were new."""
    ahead = select(KEYS.c.key).where(KEYS.c.created_at > now + AHEAD).limit(FORGET_ROWS)
    statement = update(KEYS).where(KEYS.c.key.in_(ahead.with_for_update(skip_locked=True)))
    with transaction() as session:
        session.execute(statement.values(created_at=now))


def fingerprint(key: str, arguments: Sequence[Any]) -> bytes:
    """What tells these arguments from others to whoever knows the key; the order of fields is nothing."""
    canonical = json.dumps(arguments, sort_keys=True, separators=(",", ":"))
    return hmac.digest(key.encode(), canonical.encode(), "sha256")


def _digest(*scope: str | int | None) -> bytes:
    return hashlib.sha256(json.dumps(scope).encode()).digest()


def _insert(session: Session, key: bytes, arguments: bytes, now: datetime) -> bool:
    """Whether the key was not there yet."""
    row = insert(KEYS).values(key=key, fingerprint=arguments, created_at=now)
    claimed = row.on_conflict_do_nothing().returning(KEYS.c.created_at)
    return session.execute(claimed).one_or_none() is not None


@dataclass(frozen=True)
class AskedWrites:
    """The writes that one operation of a service is asked for; keys are kept for `lifetime`."""

    operation: str
    lifetime: timedelta
    now: Callable[[], datetime]

    def asked(self, key: str | None, person: int | None, *arguments: Any) -> Write:
        """The write that `person` (None: anyone) asks for now.

        Raises Invalid for what can be no key, and ServiceUnavailable where the time is not known yet.
        """
        now = self.now()
        if key is None:
            return Write(now)
        return Write.under(check_key(key), self.operation, person, arguments, now)

    def forget_old(self, transaction: Transaction) -> None:
        """Forget the keys whose lifetime is over."""
        now = self.now()
        forget(transaction, now - self.lifetime)
        recall(transaction, now)


class Writes(DependencyProvider):
    """Injects the AskedWrites of the method that is called."""

    def setup(self) -> None:
        self.lifetime = timedelta(seconds=config.settings(self.container.config).IDEMPOTENCY_LIFETIME)

    def get_dependency(self, worker_ctx: Any) -> AskedWrites:
        operation = f"{worker_ctx.service_name}.{worker_ctx.entrypoint.method_name}"
        database = next(each for each in self.container.dependencies if isinstance(each, Database))
        return AskedWrites(operation, self.lifetime, database.get_dependency(worker_ctx).now)
