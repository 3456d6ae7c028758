"""How the database of a service is: looked at now and then, and at once where a statement has failed.

That it takes no writes is found by a write that it refuses, or by its own word, and is over with a write that
works. Whoever asks how it is gets what was found last.
"""

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

import eventlet
from eventlet.semaphore import Semaphore
from sqlalchemy import Connection, Engine, exc, text

from broker.errors import ServiceUnavailable
from broker.outages import AWAY, READ_ONLY, Kind, Outage, first_line, outage
from broker.readiness import Trouble, TroubleLog
from broker.schema import Schema
from broker.tally import Tally
from broker.waits import waits_end_after

_log = logging.getLogger(__name__)

WELL_SECONDS = 1.0  # between two looks while all is well
NOT_WELL_SECONDS = 0.5
ANSWER_SECONDS = 2.0  # for all that a look asks
FRESH_SECONDS = 0.5  # what was found so lately is not looked for again
# What a small write needs there may be room for in a full file, for this there is none.
PROBE_BYTES = 64 * 1024

_IS_READ_ONLY = text("SELECT current_setting('transaction_read_only') = 'on'")
# Into a table that each database has, and back: nobody has such a key.
_PROBE = text(
    "INSERT INTO idempotency_keys (key, fingerprint, answer, created_at)"
    " VALUES (:key, '', to_jsonb(CAST(:answer AS text)), now())"
)

# What else has to be so, found out over a connection to the database: None where it is.
Examination = Callable[[Connection], Trouble | None]


class NotOurs(Exception):
    """What is in the database is not as this release needs it; it was said."""


class Condition:
    """Of the database behind `bind`. `who` is the service's name; without one nothing is said in the log."""

    def __init__(
        self,
        bind: Engine,
        who: str = "",
        schema: Schema | None = None,
        examinations: Sequence[Examination] = (),
    ) -> None:
        self._bind = bind
        self._who = who
        self._schema = schema
        self._examinations = list(examinations)
        self._is_ours = schema is None  # what is in it was as this release needs it when last seen
        self._refusal: Outage | None = None  # of writes
        self._trouble: Trouble | None = Trouble(AWAY, "it has not been asked yet")
        self._looked_at = float("-inf")
        self._looking = Semaphore(1)
        self._due = Semaphore(0)
        self._said = TroubleLog(_log, who)
        self._causes = Tally(_log, f"{who} answers 503: %s", again_seconds=60)
        self._renewed: list[Callable[[], Any]] = []

    def when_renewed(self, function: Callable[[], Any]) -> None:
        """Have a function called where connections of before would still be refused writes."""
        self._renewed.append(function)

    def admit(self) -> None:
        """Raises ServiceUnavailable for as long as this release cannot run on what is there."""
        if not self._is_ours:
            self.look()
            if not self._is_ours:
                raise ServiceUnavailable from NotOurs(self._trouble)

    def failed(self, error: exc.SQLAlchemyError) -> bool:
        """Whether an error was the database's own fault, so that whoever asked is told 503."""
        if (found := outage(error)) is None:
            return False
        if self._who:
            self._causes.note(found.sentence, found.detail)
        if found.kind is Kind.NO_WRITES:
            self._refusal = found
            self._renew()
            self._set(Trouble(found.sentence, found.detail))
        if found.kind is not Kind.BUSY and self._due.balance <= 0:
            self._due.release()
        return True

    def trouble(self) -> Trouble | None:
        """What was found last."""
        return self._trouble

    def look(self) -> Trouble | None:
        """What is so now, or was FRESH_SECONDS ago. However many ask, the database is asked once."""
        with self._looking:
            if time.monotonic() - self._looked_at > FRESH_SECONDS:
                self._set(self._found())
                self._looked_at = time.monotonic()
        return self._trouble

    def watch(self) -> None:
        """Look now and then, for ever."""
        while True:
            try:
                self.look()
            except Exception:  # whatever it is, nobody else looks
                _log.exception("the database could not be looked at")
            seconds = WELL_SECONDS if self._trouble is None else NOT_WELL_SECONDS
            self._due.acquire(timeout=seconds)
            eventlet.sleep(FRESH_SECONDS)

    def _set(self, trouble: Trouble | None) -> None:
        self._trouble = trouble
        if self._who:
            self._said.tell(trouble)

    def _found(self) -> Trouble | None:
        if self._trouble is not None:
            self._bind.dispose()  # how a session is set was settled when it began
        try:
            with waits_end_after(ANSWER_SECONDS), self._bind.connect() as connection:
                return self._examine(connection)
        except exc.SQLAlchemyError as error:
            found = outage(error)
            if found is not None and found.kind is Kind.BUSY:
                return Trouble(AWAY, found.detail)
            return Trouble(found.sentence, found.detail) if found else Trouble(AWAY, first_line(error))

    def _examine(self, connection: Connection) -> Trouble | None:
        if self._schema is not None:
            wrong = self._schema.trouble(connection)
            self._is_ours = wrong is None
            if wrong is not None:
                return wrong
        if connection.scalar(_IS_READ_ONLY):
            self._refusal = self._refusal or Outage(Kind.NO_WRITES, READ_ONLY, "a standby, or set to be so")
            return Trouble(READ_ONLY, self._refusal.detail)
        if self._refusal is not None:
            self._probe(connection)
            self._refusal = None
            self._renew()
        return next((found for each in self._examinations if (found := each(connection))), None)

    def _probe(self, connection: Connection) -> None:
        """A write that needs room, taken back; raises what the database has against it."""
        random = secrets.token_hex(PROBE_BYTES)  # which nothing compresses to less than half
        connection.execute(_PROBE, {"key": secrets.token_bytes(32), "answer": random})
        connection.rollback()

    def _renew(self) -> None:
        for function in self._renewed:
            function()
