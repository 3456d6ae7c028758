"""Which of what is heard is told to rooms, and which is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.events import Envelope, ReviewEvent
from notifications.deliveries import Deliveries, Recipients
from notifications.feed import MARK, Turn
from notifications.history import History
from tests.unit.notifications.test_domain import review_event

START = "start"


class FakeRooms:
    def __init__(self) -> None:
        self.told: list[str] = []

    async def tell(self, room: str, event: str, payload: Mapping[str, Any]) -> None:  # noqa: ARG002
        if room == "all":
            self.told.append(payload["event_id"])


class FakeSignatures:
    """`good`: those that hold."""

    def __init__(self, *, seen: bool, so: bool = False) -> None:
        self.seen = seen
        self.so = so
        self.asked = 0
        self.keys_are_there = asyncio.Event()
        self.keys_are_there.set()

    async def hold(self, envelope: Envelope) -> bool:
        await self.keys_are_there.wait()
        self.seen = self.seen or envelope.signature == "good"
        return envelope.signature == "good"

    def may_be_of_before(self, envelope: Envelope) -> bool:
        return not envelope.signature and not self.seen

    async def is_so(self, said: ReviewEvent) -> bool:  # noqa: ARG002
        self.asked += 1
        return self.so


class FakeHistories:
    def __init__(self) -> None:
        self.looked = 0

    async def includes(self, data: Mapping[str, Any], at: float) -> bool:  # noqa: ARG002
        return data.get("history") != "lost"

    async def look(self) -> bool:
        self.looked += 1
        return True


class Others:
    """Tokens, presence and peers: nobody of them hears of a review."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def now(self) -> float:
        return time.time()

    def heard_of_session(self, session: str) -> None:
        self.heard.append(session)


def event(event_id: str, signature: str = "good", **changes: Any) -> Envelope:
    now = {"id": event_id, "signature": signature, "time": datetime.now(UTC).isoformat()}
    return review_event(**changes).model_copy(update=now)


class Stage:
    def __init__(self, signatures: FakeSignatures, *, caught_up: bool) -> None:
        self.rooms, self.others, self.signatures = FakeRooms(), Others(), signatures
        self.histories = FakeHistories()
        self.history = History(10, seconds=3600, most_bytes=10**6)
        self.history.begin_at(START, time.time())
        self.caught_up = asyncio.Event()
        if caught_up:
            self.caught_up.set()
        others: Any = self.others
        rooms: Any = self.rooms
        recipients = Recipients(rooms, self.history, others, others, others, signatures, self.histories)
        self.deliveries = Deliveries(recipients, self.caught_up, self.anew)
        self.began_anew = 0

    async def anew(self) -> None:
        self.began_anew += 1

    async def hear(self, *heard: Envelope | Turn) -> None:
        for each in heard:
            self.deliveries.take(each)
        running = asyncio.ensure_future(self.deliveries.run())
        for _ in range(20):
            await asyncio.sleep(0)
        running.cancel()

    def replay(self, since: str = START) -> list[str] | None:
        missed = self.history.since("all", since)
        return None if missed is None else [news.id for news in missed]


def test_what_movies_has_signed_is_told_and_nothing_else() -> None:
    async def story() -> None:
        stage = Stage(FakeSignatures(seen=True), caught_up=True)
        await stage.hear(event("a"), event("b", "bad"), event("c", ""), event("d"))
        assert stage.rooms.told == ["a", "d"]
        assert stage.replay() == ["a", "d"]
        assert stage.signatures.asked == 0, "since one was signed, what is not signed is not asked about"

    asyncio.run(story())


def test_what_movies_has_said_long_ago_is_not_told_again() -> None:
    async def story() -> None:
        stage = Stage(FakeSignatures(seen=True), caught_up=True)
        old = event("a").model_copy(update={"time": "2020-01-01T00:00:00Z"})
        await stage.hear(old, event("b"), event("b"))
        assert stage.rooms.told == ["b"]

    asyncio.run(story())


@pytest.mark.parametrize("so", [True, False])
def test_while_nothing_was_ever_signed_movies_is_asked(so: bool) -> None:
    async def story() -> None:
        stage = Stage(FakeSignatures(seen=False, so=so), caught_up=True)
        await stage.hear(event("a", ""), event("b", "bad"), event("c"), event("d", ""))
        assert stage.rooms.told == (["a", "c"] if so else ["c"])
        assert stage.signatures.asked == 1

    asyncio.run(story())


def test_what_an_older_release_left_in_the_stream_is_a_place_to_begin_at() -> None:
    async def story() -> None:
        stage = Stage(FakeSignatures(seen=False), caught_up=False)
        mark = event("m").model_copy(update={"type": MARK})
        await stage.hear(event("a", ""), event("b", ""), event("c"), event("d", ""), mark, Turn.CAUGHT_UP)
        assert stage.replay(START) is None, "who was there before reads anew"
        assert stage.replay("a") is None
        assert stage.replay("b") == ["c"]
        assert stage.rooms.told == []
        assert stage.caught_up.is_set()
        assert stage.replay("m") == []

    asyncio.run(story())


@pytest.mark.parametrize(
    "changes",
    [
        {"review": {"rating": float("nan")}},
        {"review": {"rating": float("inf")}},
        {"review": {"title": "\ud800"}},
        {"review": None},
        {"movie": {"id": 2**63}},
        {"version": 10**30},
        {"movie": {"genre": None}},
    ],
    ids=str,
)
@pytest.mark.parametrize("caught_up", [True, False])
def test_what_no_socket_could_read_is_told_to_none_whoever_signed_it(
    changes: dict[str, Any], caught_up: bool
) -> None:
    async def story() -> None:
        stage = Stage(FakeSignatures(seen=True), caught_up=caught_up)
        await stage.hear(event("a", **changes), event("b"))
        assert stage.replay() == ["b"]

    asyncio.run(story())


def test_while_a_signature_cannot_be_checked_the_rest_goes_on() -> None:
    async def story() -> None:
        stage = Stage(FakeSignatures(seen=False), caught_up=True)
        stage.signatures.keys_are_there.clear()
        who = {"id": 7, "username": "anna"}
        data = {"version": 1, "user": who, "session": "s7", "expires_at": 99}
        revoked = event("r").model_copy(update={"type": "session_revoked", "data": data})
        await stage.hear(event("a"), revoked)
        assert stage.others.heard == ["s7"]
        assert stage.rooms.told == []

    asyncio.run(story())


def test_a_history_that_begins_anew_forgets_what_was() -> None:
    async def story() -> None:
        stage = Stage(FakeSignatures(seen=True), caught_up=True)
        await stage.hear(event("a"), Turn.ANEW, event("b"), Turn.CAUGHT_UP)
        assert stage.began_anew == 1
        assert stage.rooms.told == ["a"], "what is read again is told to nobody"
        assert stage.replay("a") is None

    asyncio.run(story())


def test_what_a_restore_has_undone_is_neither_told_nor_replayed() -> None:
    async def story() -> None:
        stage = Stage(FakeSignatures(seen=True), caught_up=True)
        lost = event("b")
        await stage.hear(
            event("a"), lost.model_copy(update={"data": {**lost.data, "history": "lost"}}), event("c")
        )
        assert stage.rooms.told == ["a", "c"]
        assert stage.replay() == ["a", "c"]
        assert stage.replay("b") is None

    asyncio.run(story())


def test_positions_of_the_history_before_are_unknown_in_the_next() -> None:
    async def story() -> None:
        stage = Stage(FakeSignatures(seen=True), caught_up=True)
        await stage.hear(event("a"))
        await stage.deliveries.in_another_history(time.time() + 1, was_known=True)
        assert stage.replay() is None
        assert stage.replay("a") is None
        assert stage.began_anew == 1

    asyncio.run(story())


def test_marks_of_before_a_restore_are_no_positions() -> None:
    async def story() -> None:
        stage = Stage(FakeSignatures(seen=True), caught_up=False)
        now = datetime.now(UTC)
        stage.history.begin_at(START, now.timestamp() - 30)
        earlier = {"time": (now - timedelta(seconds=20)).isoformat()}
        await stage.hear(event("a").model_copy(update=earlier), event("b"))
        await stage.deliveries.in_another_history(now.timestamp() - 10, was_known=False)
        assert stage.replay() is None
        assert stage.replay("a") is None
        assert stage.replay("b") == []
        await stage.deliveries.in_another_history(now.timestamp() + 30, was_known=False)
        assert stage.replay("b") is None
        assert stage.began_anew == 0

    asyncio.run(story())


def test_the_history_is_asked_for_before_anybody_is_let_in() -> None:
    async def story() -> None:
        stage = Stage(FakeSignatures(seen=True), caught_up=False)
        await stage.hear(Turn.CAUGHT_UP)
        assert stage.histories.looked == 1
        assert stage.caught_up.is_set()

    asyncio.run(story())
