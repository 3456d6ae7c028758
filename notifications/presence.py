"""Who is in a room, over all notifiers: asked for at the moment, from those that are there.

Every notifier says `notifier_here` now and then, and is there for a while after its last word. Who wants to
know says `presence_asked`, and each of the others `presence_told`. Whoever does not hear its own words does
not hear the others' either, and so knows nothing of them.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from broker.events import Envelope, read
from notifications import domain
from notifications.domain import Attendance
from notifications.peers import GONE, HERE, PRESENCE_ASKED, PRESENCE_TOLD
from notifications.words import Asked, Said, Told

WORDS: dict[str, type[Said]] = {HERE: Said, GONE: Said, PRESENCE_ASKED: Asked, PRESENCE_TOLD: Told}
MOST_NOTIFIERS = 1000  # that are counted as there

HERE_SECONDS = 2.0  # between two words of a notifier
GONE_SECONDS = 6.0  # after its last word, it is there no more
SETTLE_SECONDS = 3.0  # of hearing, and every other one has said a word
ANSWER_SECONDS = 1.0  # how long the others have for an answer
REUSE_SECONDS = 1.0  # how long their answers are good for the next who asks
MOST_ASKINGS = 500  # at a time; whoever asks about one more room is told what is known here

UNKNOWN = Attendance(0, complete=False)


class Speaker(Protocol):
    """A way to speak to the other notifiers: at most once, and not later than `good_for` seconds from now."""

    instance: str

    def say(self, word: str, data: dict[str, Any], good_for: float = ...) -> None: ...


class Roll:
    """The notifiers that are there, this one (`own`) among them. `clock` gives seconds that only ascend."""

    def __init__(self, own: str, clock: Callable[[], float]) -> None:
        self._own = own
        self._clock = clock
        self._heard: dict[str, float] = {}  # when each was heard last
        self._since = 0.0  # since when this one hears itself

    def heard(self, instance: str) -> None:
        now = self._clock()
        if instance == self._own and not self._is_there(instance):
            self._since = now
        if instance in self._heard or instance == self._own or len(self._heard) < MOST_NOTIFIERS:
            self._heard[instance] = now

    def gone(self, instance: str) -> None:
        self._heard.pop(instance, None)

    def forget(self) -> None:
        self._heard.clear()

    def others(self) -> set[str]:
        """Those that are there, but for this one."""
        self._heard = {instance: at for instance, at in self._heard.items() if self._is_there(instance)}
        return self._heard.keys() - {self._own}

    @property
    def is_settled(self) -> bool:
        """Whether none can be missing in `others`."""
        return self._is_there(self._own) and self._clock() - self._since >= SETTLE_SECONDS

    def _is_there(self, instance: str) -> bool:
        return instance in self._heard and self._clock() - self._heard[instance] < GONE_SECONDS


@dataclass(eq=False)
class _Asking:
    """A question about a room, for all who ask it at the time. `waiting`: who has not answered yet."""

    room: str
    waiting: set[str]
    settled: bool
    outcome: asyncio.Future[Attendance]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    told: dict[str, Attendance] = field(default_factory=dict)


class Presence:
    """`here(room)` says who is in a room at this notifier. `alone`: there can be no other."""

    def __init__(
        self,
        speaker: Speaker,
        here: Callable[[str], Attendance],
        *,
        alone: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._speaker = speaker
        self._here = here
        self._alone = alone
        self._roll = Roll(speaker.instance, clock)
        self._askings: dict[str, _Asking] = {}  # by room, until their answers are too old
        self._open: dict[str, _Asking] = {}  # by id, until they are answered
        self._hearing = False
        self._stopped = False
        self._beating: asyncio.Task[None] | None = None

    def start(self) -> None:
        if not self._alone:
            self._beating = asyncio.ensure_future(self._beat())

    def stop(self) -> None:
        """Say nothing any more."""
        self._stopped = True
        if self._beating is not None:
            self._beating.cancel()
        self._give_up()

    def hearing_changed(self, hears: bool) -> None:
        """The broker is heard from now on, or no more."""
        self._hearing = hears
        if hears:
            self._say_here()
        else:
            self._roll.forget()
            self._give_up()

    def heard(self, envelope: Envelope) -> None:
        """Take in one of WORDS. Raises ValueError for other data."""
        said = read(envelope, WORDS[envelope.type])
        if envelope.type == GONE:
            self._roll.gone(said.instance)
            for asking in list(self._open.values()):
                self._answered(asking, said.instance)
            return
        self._roll.heard(said.instance)
        if isinstance(said, Asked):
            if said.instance != self._speaker.instance:
                self._tell(said.ask, said.room)
        elif isinstance(said, Told) and (told := self._open.get(said.ask)) is not None:
            if len(told.told) < MOST_NOTIFIERS:
                told.told[said.instance] = domain.attendance(said.listeners, said.users)
            self._answered(told, said.instance)

    async def of(self, room: str) -> Attendance:
        """Who is in `room`, here and elsewhere. At most ANSWER_SECONDS."""
        elsewhere = Attendance(0) if self._alone else await self._elsewhere(room)
        return domain.together((self._here(room), elsewhere))

    async def _elsewhere(self, room: str) -> Attendance:
        asking = self._askings.get(room)
        if asking is None:
            if not self._hearing or self._stopped or len(self._askings) >= MOST_ASKINGS:
                return UNKNOWN
            asking = self._ask(room)
        return await asyncio.shield(asking.outcome)

    def _ask(self, room: str) -> _Asking:
        loop = asyncio.get_running_loop()
        asking = _Asking(room, self._roll.others(), self._roll.is_settled, loop.create_future())
        self._askings[room] = self._open[asking.id] = asking
        if asking.settled and not asking.waiting:
            self._finish(asking)
        else:
            self._speaker.say(PRESENCE_ASKED, {"ask": asking.id, "room": room}, ANSWER_SECONDS)
            loop.call_later(ANSWER_SECONDS, self._finish, asking)
        return asking

    def _tell(self, ask: str, room: str) -> None:
        if not self._stopped:
            here = self._here(room)
            data = {"ask": ask, "listeners": here.listeners, "users": list(here.users)}
            self._speaker.say(PRESENCE_TOLD, data, ANSWER_SECONDS)

    def _answered(self, asking: _Asking, instance: str) -> None:
        asking.waiting.discard(instance)
        # Before everybody has said a word, there may be others that nobody waits for: they have their time.
        if asking.settled and not asking.waiting:
            self._finish(asking)

    def _finish(self, asking: _Asking) -> None:
        if self._open.pop(asking.id, None) is None:
            return
        complete = asking.settled and not asking.waiting
        asking.outcome.set_result(domain.together((Attendance(0, complete=complete), *asking.told.values())))
        asyncio.get_running_loop().call_later(REUSE_SECONDS, self._askings.pop, asking.room, None)

    def _give_up(self) -> None:
        for asking in list(self._open.values()):
            asking.settled = False
            self._finish(asking)

    def _say_here(self) -> None:
        if self._hearing and not self._alone and not self._stopped:
            self._speaker.say(HERE, {}, HERE_SECONDS)

    async def _beat(self) -> None:
        while True:
            self._say_here()
            await asyncio.sleep(HERE_SECONDS)
