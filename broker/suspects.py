"""Messages that the broker gives out again: whoever had them first may have died of them.

A classic queue says of a message that it was given out before, and not how often. So whoever gets such a
message counts, in the service's own database, that work at it begins, and takes that back when the work has
ended, however it did. What stays in the count are deaths. One death besides the first, which nobody counted,
is all that a message may cause: then it is a dead letter.

They are handled one at a time, so that no other message is blamed.
"""

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import eventlet
import kombu
from cachetools import LRUCache
from eventlet.event import Event
from eventlet.queue import LightQueue
from nameko.extensions import SharedExtension
from sqlalchemy import Integer, cast, delete, func
from sqlalchemy.dialects.postgresql import insert

from broker import config
from broker.aside import Aside
from broker.database import Transaction, engine
from broker.errors import ServiceUnavailable
from broker.idempotency import KEYS
from broker.link import Link

_log = logging.getLogger(__name__)

MOST_BEGUN = 1  # times that work at a message begins anew and does not end
ALONE_SECONDS = 10.0  # for which others wait for the end of one
PAUSE_SECONDS = 1.0  # before a database that is away is asked again
DATABASE_SECONDS = 1.0  # for its answer
MOST_COUNTED = 10_000  # where there is no database


class TooManyDeaths(Exception):
    """The service ended more than once while it was at work on a message."""

    def __str__(self) -> str:
        return "who works on it does not come to an end"


@dataclass(eq=False, slots=True)
class Suspect:
    message: kombu.Message
    queue: str
    begin: Callable[[], None]
    refuse: Callable[[ServiceUnavailable], None] | None
    ended: Event = field(default_factory=Event)

    key: bytes = field(init=False)

    def __post_init__(self) -> None:
        # By this it is known when it comes again; the broker has no name for it.
        digest = hashlib.sha256(self.queue.encode())
        for name in ("message_id", "correlation_id", "reply_to"):
            digest.update(b"\0" + str(self.message.properties.get(name)).encode())
        body = self.message.body
        digest.update(b"\0" + (body if isinstance(body, bytes) else str(body).encode()))
        self.key = digest.digest()


class Suspects(SharedExtension):
    """Lets work on messages begin that came before, one at a time."""

    link = Link()
    aside = Aside()

    def __init__(self) -> None:
        super().__init__()
        self._waiting: LightQueue = LightQueue()  # no more than what the broker hands out at once
        self._begun: dict[kombu.Message, Suspect] = {}
        self._away_until = 0.0  # time.monotonic()
        self._owed: set[bytes] = set()  # keys of works that have ended, which is not in the database yet

    def setup(self) -> None:
        settings = config.settings(self.container.config)
        url = getattr(settings, f"{self.container.service_name.upper()}_DATABASE_URL", "")
        self._counts: DeathCounts = StoredCounts(url) if url else DeathCounts()

    def start(self) -> None:
        self.container.spawn_managed_thread(self._run, identifier="messages that come again")

    def is_one(self, message: kombu.Message) -> bool:
        """Whether somebody had it before."""
        return bool(message.delivery_info.get("redelivered")) and self.link.speaks_amqp

    def add(
        self,
        message: kombu.Message,
        queue: str,
        begin: Callable[[], None],
        refuse: Callable[[ServiceUnavailable], None] | None = None,
    ) -> None:
        """Have `begin` called when it is the turn of this message of `queue`; returns at once.

        The work's end is to be told to `end`. While the database is away the message waits, or is given to
        `refuse`.
        """
        self._waiting.put(Suspect(message, queue, begin, refuse))

    def end(self, message: kombu.Message) -> None:
        """Work at a message has ended, well or not: for all messages, whether they came before or not."""
        if (suspect := self._begun.pop(message, None)) is not None:
            suspect.ended.send()
            eventlet.spawn(self._forget, suspect)

    def _run(self) -> None:
        while True:
            suspect = self._waiting.get()
            try:
                self._examine(suspect)
            except Exception as error:  # whatever it is, the others have their turn
                _log.error("a message that came again could not be begun", exc_info=error)
                self.aside.put(suspect.message, suspect.queue, error)

    def _examine(self, suspect: Suspect) -> None:
        if not self.link.holds(suspect.message):
            return
        try:
            if time.monotonic() < self._away_until:
                raise ServiceUnavailable
            begun = self._counts.begin(suspect.key, anew=suspect.key in self._owed)
        except ServiceUnavailable as error:
            if time.monotonic() >= self._away_until:  # whoever comes next need not find out as well
                self._away_until = time.monotonic() + PAUSE_SECONDS / 2
            if suspect.refuse is not None:
                suspect.refuse(error)
            else:
                eventlet.spawn_after(PAUSE_SECONDS, self._waiting.put, suspect)
            return
        if begun > MOST_BEGUN:
            self.aside.put(suspect.message, suspect.queue, TooManyDeaths(), begun)
            return
        self._owed.discard(suspect.key)
        self._begun[suspect.message] = suspect
        suspect.begin()
        with eventlet.Timeout(ALONE_SECONDS, False):
            suspect.ended.wait()

    def _forget(self, suspect: Suspect) -> None:
        self._owed.add(suspect.key)
        while suspect.key in self._owed:
            try:
                self._counts.end(suspect.key)
            except ServiceUnavailable:
                eventlet.sleep(PAUSE_SECONDS)
            else:
                self._owed.discard(suspect.key)


class DeathCounts:
    """How often work at a message began and did not end, for as long as this process lives."""

    def __init__(self) -> None:
        self._counts: LRUCache[bytes, int] = LRUCache(MOST_COUNTED)

    def begin(self, key: bytes, *, anew: bool) -> int:
        """How often it has begun now; `anew`: what was counted before is no more true."""
        self._counts[key] = begun = 1 if anew else self._counts.get(key, 0) + 1
        return int(begun)

    def end(self, key: bytes) -> None:
        self._counts.pop(key, None)


class StoredCounts(DeathCounts):
    """The same for every process of a service, for as long as idempotency keys are kept: it lies among them.

    Both methods raise ServiceUnavailable.
    """

    def __init__(self, url: str) -> None:
        self._transaction = Transaction(engine(url, 1), DATABASE_SECONDS)

    def begin(self, key: bytes, *, anew: bool) -> int:
        once_more = func.to_jsonb(1 if anew else cast(KEYS.c.answer, Integer) + 1)
        values: dict[str, Any] = {
            "key": key,
            "fingerprint": b"",
            "answer": 1,
            "created_at": self._transaction.now(),
        }
        statement = (
            insert(KEYS)
            .values(values)
            .on_conflict_do_update(index_elements=[KEYS.c.key], set_={"answer": once_more})
            .returning(KEYS.c.answer)
        )
        with self._transaction() as session:
            return int(session.execute(statement).scalar_one())

    def end(self, key: bytes) -> None:
        with self._transaction() as session:
            session.execute(delete(KEYS).where(KEYS.c.key == key))
