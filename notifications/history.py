"""What the rooms were told lately, in the one order that all notifiers share.

Every event has a place in that order, and so has every client: after the event that it heard last, in
whichever room. What a room told since then is replayed whole or not at all.
"""

import asyncio
import math
import sys
import time
import uuid
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter

from notifications.domain import News

# What an event takes in memory beside its text: itself and its id; its place in one room.
EVENT_BYTES = 400
ROOM_BYTES = 120

_place = attrgetter("place")


def _bytes_of(text: str) -> int:
    """What its characters take in memory: one, two or four bytes each, as the widest of them needs."""
    return sys.getsizeof(text) - sys.getsizeof("")


@dataclass(slots=True)
class _Event:
    id: str
    place: int
    at: float
    rooms: Sequence[str]
    news: News | None  # None once no room holds it any more: then it is a place alone
    bytes: int
    holders: int


@dataclass(slots=True)
class _Room:
    events: list[_Event] = field(default_factory=list)
    forgotten: int = -1  # the place of the last event that had to make room for newer ones


class History:
    """The last `most_per_room` events of each room, none older than `seconds`, `most_bytes` in all.

    All of it is used on one event loop. `clock` tells seconds since 1970, or None while it is not known what
    time it is: then nothing is forgotten for its age.
    """

    def __init__(
        self,
        most_per_room: int,
        seconds: float,
        most_bytes: int,
        clock: Callable[[], float | None] = time.time,
    ) -> None:
        # Held while an event is recorded and told to its rooms, and while a client that has been told all
        # that was before enters one: so it hears each event either by replay or live.
        self.turn = asyncio.Lock()
        self._most_per_room = most_per_room
        self.seconds = seconds
        self._most_bytes = most_bytes
        self._clock = clock
        self._awaited: dict[str, set[asyncio.Future[None]]] = {}
        self.clear()

    def clear(self) -> None:
        """Forget everything; positions of before are unknown from now on."""
        self._forget()
        now = self._clock()
        self.add(uuid.uuid4().hex, math.inf if now is None else now)  # somewhere to begin

    def _forget(self) -> None:
        self._events: OrderedDict[str, _Event] = OrderedDict()
        self._rooms: dict[str, _Room] = {}
        self._bytes = 0
        self._places = 0

    def add(self, event_id: str, at: float, news: News | None = None) -> bool:
        """Record an event of the moment `at`, or with no news a mere position. False where it is known."""
        self._forget_the_old()
        if event_id in self._events:
            return False
        rooms = news.rooms if news else ()
        size = EVENT_BYTES + len(rooms) * ROOM_BYTES + (_bytes_of(news.text) if news else 0)
        event = _Event(event_id, self._places, at, rooms, news, size, len(rooms))
        self._places += 1
        self._events[event_id] = event
        self._bytes += size
        for name in rooms:
            room = self._rooms.setdefault(name, _Room())
            room.events.append(event)
            if len(room.events) > self._most_per_room:
                room.forgotten = room.events[0].place
                self._let_go(room)
        self._forget_the_old()
        for waiting in self._awaited.pop(event_id, ()):
            if not waiting.done():
                waiting.set_result(None)
        return True

    def forget_before(self, moment: float) -> None:
        """Forget what is of before `moment`; positions of then are unknown."""
        old = [number for number, event in enumerate(self._events.values(), 1) if event.at < moment]
        for _ in range(max(old, default=0)):
            self._drop(next(iter(self._events.values())))
        if not self._events:
            self.clear()

    def begin_at(self, event_id: str, at: float) -> None:
        """Forget everything before this event of the moment `at`; positions of before are unknown."""
        self._forget()
        self.add(event_id, at)

    def last(self, room: str) -> str:
        """The position from which nothing in `room` is missed: its last event, or the last one anywhere."""
        self._forget_the_old()
        if held := self._rooms.get(room):
            return held.events[-1].id
        return next(reversed(self._events))

    def since(self, room: str, position: str) -> list[News] | None:
        """What `room` was told after `position`, in order; None where that is not known to the last event."""
        self._forget_the_old()
        event = self._events.get(position)
        if event is None:
            return None
        held = self._rooms.get(room)
        if held is None:
            return []
        if held.forgotten > event.place:
            return None
        missed = held.events[bisect_right(held.events, event.place, key=_place) :]
        return [each.news for each in missed if each.news is not None]

    async def wait_for(self, position: str, seconds: float) -> None:
        """Return once `position` is known, or after `seconds`: another notifier may know it a bit earlier."""
        if position in self._events:
            return
        waiting = asyncio.get_running_loop().create_future()
        together = self._awaited.setdefault(position, set())
        together.add(waiting)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(waiting, seconds)
        finally:
            together.discard(waiting)
            if not together and self._awaited.get(position) is together:
                del self._awaited[position]

    def _forget_the_old(self) -> None:
        """The newest event stays, if only as a position."""
        now = self._clock()
        oldest = -math.inf if now is None else now - self.seconds
        while len(self._events) > 1:
            event = next(iter(self._events.values()))
            if now is not None:
                event.at = min(event.at, now)  # what is of the future counts as now
            if event.at >= oldest and self._bytes <= self._most_bytes:
                return
            self._drop(event)

    def _drop(self, event: _Event) -> None:
        """Forget the oldest."""
        del self._events[event.id]
        if event.news is not None:
            for name in event.rooms:
                room = self._rooms[name]
                if room.events[0] is event:
                    self._let_go(room)
                if not room.events:
                    del self._rooms[name]
        self._bytes -= event.bytes

    def _let_go(self, room: _Room) -> None:
        """Take its oldest event out of a room; what no room holds is remembered as a place alone."""
        event = room.events.pop(0)
        event.holders -= 1
        if event.holders == 0:
            event.news = None
            self._bytes -= event.bytes - EVENT_BYTES
            event.bytes = EVENT_BYTES
