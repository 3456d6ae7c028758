"""What the broker says, worked off one after the other: reviews in their order, and apart from them the rest,
which must not wait while a review's signature cannot be checked.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from broker.events import Envelope, ReviewEvent, read
from broker.tally import Tally
from notifications import handlers
from notifications.domain import REVIEW_EVENTS, Seen
from notifications.feed import MARK, Turn
from notifications.handlers import Rooms, Tokens
from notifications.history import History
from notifications.peers import ROOM_TOLD, Peers
from notifications.presence import WORDS, Presence

_log = logging.getLogger(__name__)

MOST_WITHOUT_A_PAUSE = 8  # events that are worked off before others get their turn on the loop

Heard = Envelope | Turn


class Signatures(Protocol):
    """Whether movies has said what is announced of reviews; see `review_signatures.ReviewSignatures`."""

    async def hold(self, envelope: Envelope) -> bool: ...
    def may_be_of_before(self, envelope: Envelope) -> bool: ...
    async def is_so(self, said: ReviewEvent) -> bool: ...


class Histories(Protocol):
    """In which history movies is; see `review_histories.ReviewHistories`."""

    async def includes(self, data: Mapping[str, Any], at: float) -> bool: ...
    async def look(self) -> bool: ...


@dataclass(frozen=True)
class Recipients:
    """Whom what is heard concerns."""

    rooms: Rooms
    history: History
    tokens: Tokens
    presence: Presence
    peers: Peers
    signatures: Signatures
    histories: Histories


class Deliveries:
    """`caught_up` is set while what the rooms were told is known; `anew` is awaited when it no longer is."""

    def __init__(
        self, to: Recipients, caught_up: asyncio.Event, anew: Callable[[], Awaitable[object]]
    ) -> None:
        self._to = to
        self._caught_up = caught_up
        self._anew = anew
        self._seen = Seen()
        self._reviews: asyncio.Queue[Heard] = asyncio.Queue()
        self._others: asyncio.Queue[Heard] = asyncio.Queue()
        self._dropped = Tally(_log, "dropped a %s that says what is not so")

    def take(self, heard: Heard) -> None:
        if isinstance(heard, Turn) or heard.type in REVIEW_EVENTS or heard.type == MARK:
            self._reviews.put_nowait(heard)
        else:
            self._others.put_nowait(heard)

    def waiting(self) -> int:
        return self._reviews.qsize() + self._others.qsize()

    async def run(self) -> None:
        """For ever."""
        await asyncio.gather(
            self._work_off(self._reviews, self._review), self._work_off(self._others, self._other)
        )

    async def _work_off(self, queue: asyncio.Queue[Heard], work: Callable[[Heard], Awaitable[None]]) -> None:
        for count in itertools.count(1):
            heard = await queue.get()
            try:
                await work(heard)
            except (ValueError, TypeError, KeyError) as error:
                self._dropped.note(
                    heard.name if isinstance(heard, Turn) else heard.type, type(error).__name__
                )
            except Exception:
                _log.exception("could not push %s", _name(heard))
            if count % MOST_WITHOUT_A_PAUSE == 0:
                await asyncio.sleep(0)

    async def _review(self, heard: Heard) -> None:
        if isinstance(heard, Turn):
            await self._turn(heard)
            return
        past, now = self._to.history, self._to.tokens.now()
        if heard.type == MARK:
            handlers.remember(heard, past, now)
        elif await self._is_movies(heard):
            if self._caught_up.is_set():
                await handlers.push_review(heard, self._to.rooms, past, now)
            else:
                handlers.remember(heard, past, now)

    async def _is_movies(self, envelope: Envelope) -> bool:
        """Whether movies has said this; notes what it has not. Raises ValueError for other data."""
        said = read(envelope, REVIEW_EVENTS[envelope.type][0])
        signatures = self._to.signatures
        if handlers.is_stale(envelope, self._to.history.seconds, self._to.tokens.now()):
            self._dropped.note(envelope.type, f"{envelope.id} is older than what is kept")
            return False
        if not await self._to.histories.includes(
            envelope.data, handlers.moment(envelope, self._to.tokens.now())
        ):
            return False  # of the time that a restore has undone
        if not signatures.may_be_of_before(envelope):
            if await signatures.hold(envelope):
                return True
        elif not self._caught_up.is_set():
            handlers.remember_no_further(envelope, self._to.history, self._to.tokens.now())
            return False
        elif await signatures.is_so(said):
            return True
        self._dropped.note(envelope.type, f"movies has not said {envelope.id}")
        return False

    async def _turn(self, turn: Turn) -> None:
        if turn is Turn.CAUGHT_UP:
            await self._to.histories.look()  # before anybody is told that nothing was missed
            self._caught_up.set()
        else:
            self._caught_up.clear()
            self._to.history.clear()
            # Whoever is connected may have missed something, and learns of it by joining again.
            await self._anew()

    async def in_another_history(self, began_at: float, *, was_known: bool) -> None:
        """Movies is in a history that began then. `was_known`: it was in another one until now, and who is
        connected was told what is undone.
        """
        if was_known:
            self._to.history.clear()
            await self._anew()
        else:
            self._to.history.forget_before(began_at)

    async def _other(self, heard: Heard) -> None:
        assert isinstance(heard, Envelope)  # noqa: S101
        if heard.type in WORDS:  # they are many, and would push out what was seen
            self._to.presence.heard(heard)
        elif not self._seen.first_time(heard.id):
            return
        elif heard.type == ROOM_TOLD:
            if self._to.peers.said_elsewhere(heard):
                await handlers.repeat(heard, self._to.rooms)
        elif heard.type == "session_revoked":
            handlers.end_session(heard, self._to.tokens)
        elif heard.type == "user_updated":
            handlers.follow_user(heard, self._to.tokens)


def _name(heard: Heard) -> str:
    return heard.name if isinstance(heard, Turn) else f"{heard.type} {heard.id}"
