"""Presence, with several notifiers in one loop whose words pass through the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import pytest

from broker.events import Envelope
from notifications import domain, presence
from notifications.domain import MOST_NAMES, Attendance
from notifications.peers import GONE, HERE, PRESENCE_ASKED, PRESENCE_TOLD
from notifications.presence import GONE_SECONDS, SETTLE_SECONDS, Presence, Roll

Case = Callable[..., Coroutine[Any, Any, None]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the others do not say, they need not be waited for as long."""
    monkeypatch.setattr(presence, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(presence, "REUSE_SECONDS", 0.05)


def in_a_loop(case: Case) -> Callable[..., None]:
    @wraps(case)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(case(*args, **kwargs))

    return run


@dataclass
class Notifier:
    """One of them; what it says is heard by all that `hear`, itself included."""

    instance: str
    network: Network
    members: list[str | None] = field(default_factory=list)  # of every room: a name, or None for a guest
    hears: bool = True

    def __post_init__(self) -> None:
        self.presence = Presence(self, self.here, alone=False, clock=lambda: self.network.now)
        self.presence.hearing_changed(True)

    def say(self, word: str, data: dict[str, Any], good_for: float = 0) -> None:  # noqa: ARG002
        envelope = Envelope(
            specversion="1.0",
            id="x",
            source="/notifications",
            type=word,
            time="now",
            data={"instance": self.instance, **data},
        )
        self.network.said.append(envelope)
        for notifier in self.network.notifiers:
            if notifier.hears:
                asyncio.get_running_loop().call_soon(notifier.presence.heard, envelope)

    def here(self, room: str) -> Attendance:  # noqa: ARG002
        return domain.attendance(len(self.members), (name for name in self.members if name is not None))

    async def ask(self, room: str = "42") -> Attendance:
        return await self.presence.of(room)


class Network:
    def __init__(self) -> None:
        self.now = 1000.0
        self.said: list[Envelope] = []
        self.notifiers: list[Notifier] = []

    async def add(self, *members: str | None) -> Notifier:
        notifier = Notifier(f"n{len(self.notifiers)}", self, list(members))
        self.notifiers.append(notifier)
        await self.beat()
        return notifier

    async def beat(self, seconds: float = 0) -> None:
        """Everybody says that it is there, `seconds` after the last time."""
        self.now += seconds
        for notifier in self.notifiers:
            if notifier.hears:
                notifier.say(HERE, {})
        await asyncio.sleep(0)

    async def settle(self) -> None:
        for _ in range(2):
            await self.beat(SETTLE_SECONDS / 2 + 0.01)

    def words(self, word: str) -> int:
        return sum(envelope.type == word for envelope in self.said)


@in_a_loop
async def test_all_are_counted_and_named_together() -> None:
    network = Network()
    first = await network.add("anna", None)
    second = await network.add("bob", "anna", None, None)
    await network.add()
    await network.settle()
    for notifier in (first, second):
        assert await notifier.ask() == Attendance(6, ("anna", "bob"))


@in_a_loop
async def test_the_names_are_the_first_fifty_of_all() -> None:
    network = Network()
    first = await network.add(*(f"name-{number:03}" for number in range(1, 121, 2)))
    await network.add(*(f"name-{number:03}" for number in range(0, 120, 2)))
    await network.settle()
    answer = await first.ask()
    assert answer.listeners == 120
    assert answer.users == tuple(f"name-{number:03}" for number in range(MOST_NAMES))


@in_a_loop
async def test_one_that_is_alone_says_nothing() -> None:
    network = Network()
    alone = Presence(
        Notifier("n", network), lambda _: Attendance(1, ("anna",)), alone=True, clock=lambda: network.now
    )
    network.said.clear()
    alone.start()
    alone.hearing_changed(True)
    assert await alone.of("42") == Attendance(1, ("anna",))
    assert network.said == []


@in_a_loop
async def test_without_others_nobody_is_asked() -> None:
    network = Network()
    only = await network.add("anna")
    await network.settle()
    assert await only.ask() == Attendance(1, ("anna",))
    assert network.words(PRESENCE_ASKED) == 0


@in_a_loop
async def test_questions_at_one_time_share_an_asking_and_a_room_has_its_own() -> None:
    network = Network()
    first = await network.add("anna")
    await network.add("bob")
    await network.settle()
    answers = await asyncio.gather(*(first.ask() for _ in range(20)), first.ask("43"))
    assert set(answers) == {Attendance(2, ("anna", "bob"))}
    assert (network.words(PRESENCE_ASKED), network.words(PRESENCE_TOLD)) == (2, 2)


@in_a_loop
async def test_an_answer_is_used_again_for_a_while_but_for_what_is_known_here() -> None:
    network = Network()
    first, second = await network.add("anna"), await network.add("bob")
    await network.settle()
    await first.ask()
    first.members.append("carol")
    second.members.append("dave")
    assert await first.ask() == Attendance(3, ("anna", "bob", "carol"))
    assert network.words(PRESENCE_ASKED) == 1
    await asyncio.sleep(0.1)
    assert await first.ask() == Attendance(4, ("anna", "bob", "carol", "dave"))


@in_a_loop
async def test_one_that_is_silent_is_waited_for_and_the_answer_is_not_complete() -> None:
    network = Network()
    first, second, third = await network.add("anna"), await network.add("bob"), await network.add("carol")
    await network.settle()
    third.hears = False
    for notifier in (first, second):
        assert await notifier.ask() == Attendance(2, ("anna", "bob"), complete=False)


@in_a_loop
async def test_one_that_has_crashed_is_forgotten_after_a_while() -> None:
    network = Network()
    first, second = await network.add("anna"), await network.add("bob")
    await network.settle()
    second.hears = False
    await network.beat(GONE_SECONDS / 2)
    assert await first.ask() == Attendance(1, ("anna",), complete=False)
    await asyncio.sleep(0.1)
    await network.beat(GONE_SECONDS / 2)
    assert await first.ask() == Attendance(1, ("anna",))


@in_a_loop
async def test_one_that_has_stopped_is_not_waited_for() -> None:
    network = Network()
    first, second = await network.add("anna"), await network.add("bob")
    await network.settle()
    second.hears = False
    asking = asyncio.create_task(first.ask())
    await asyncio.sleep(0)
    second.presence.stop()
    second.say(GONE, {})
    assert await asking == Attendance(1, ("anna",))


@in_a_loop
async def test_one_that_has_stopped_answers_nothing_which_would_bring_it_back() -> None:
    network = Network()
    first, second = await network.add("anna"), await network.add("bob")
    await network.settle()
    second.presence.stop()
    assert await first.ask() == Attendance(1, ("anna",), complete=False)
    assert network.words(PRESENCE_TOLD) == 0


@in_a_loop
async def test_before_all_have_said_a_word_all_have_their_time_to_answer() -> None:
    network = Network()
    await network.add("bob")
    await network.settle()
    newcomer = Notifier("new", network, ["anna"])
    network.notifiers.append(newcomer)
    assert await newcomer.ask() == Attendance(2, ("anna", "bob"), complete=False)


@in_a_loop
async def test_without_the_broker_the_answer_is_what_is_known_here_and_comes_at_once() -> None:
    network = Network()
    first, second = await network.add("anna"), await network.add("bob")
    await network.settle()
    second.hears = False
    asking = asyncio.create_task(first.ask())
    await asyncio.sleep(0)
    first.presence.hearing_changed(False)
    asked = network.words(PRESENCE_ASKED)
    unknown = Attendance(1, ("anna",), complete=False)
    assert await asyncio.wait_for(asking, 0.05) == unknown
    assert await first.ask("43") == unknown
    assert network.words(PRESENCE_ASKED) == asked


@in_a_loop
async def test_one_that_hears_itself_no_more_is_never_complete() -> None:
    network = Network()
    first = await network.add("anna")
    await network.settle()
    network.now += GONE_SECONDS
    assert await first.ask() == Attendance(1, ("anna",), complete=False)


@in_a_loop
async def test_questions_about_too_many_rooms_are_answered_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "MOST_ASKINGS", 3)
    network = Network()
    first = await network.add("anna")
    await network.add("bob")
    await network.settle()
    answers = await asyncio.gather(*(first.ask(str(room)) for room in range(5)))
    assert [answer.complete for answer in answers] == [True, True, True, False, False]
    await asyncio.sleep(0.1)
    assert (await first.ask("4")).complete


def test_a_roll_is_settled_when_one_has_heard_itself_for_a_while() -> None:
    now = [0.0]
    roll = Roll("me", lambda: now[0])
    assert not roll.is_settled
    roll.heard("me")
    now[0] = SETTLE_SECONDS
    assert roll.is_settled
    roll.forget()
    roll.heard("me")
    assert not roll.is_settled
