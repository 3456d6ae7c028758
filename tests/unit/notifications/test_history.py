"""What is replayed to whom, against a list that forgets nothing."""

import asyncio
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from notifications.domain import News
from notifications.history import EVENT_BYTES, ROOM_BYTES, History

MOST = 3
SECONDS = 10
ROOMS = ("all", "1", "2")
PLENTY = 10**9


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def news(event_id: str, *rooms: str, text: str = "{}") -> News:
    return News(event_id, "new_review", rooms, text)


def ids(missed: list[News] | None) -> list[str] | None:
    return None if missed is None else [each.id for each in missed]


@dataclass
class Model:
    """All events ever, and for each query a look at all of them."""

    told: list[tuple[str, float, tuple[str, ...]]] = field(default_factory=list)

    def known(self, now: float) -> list[str]:
        """The positions that are not too old; the newest never is."""
        names = [name for name, _, _ in self.told]
        first = next((i for i, (_, at, _) in enumerate(self.told) if at >= now - SECONDS), len(names) - 1)
        return names[first:]

    def since(self, room: str, position: str, now: float) -> list[str] | None:
        if position not in self.known(now):
            return None
        names = [name for name, _, _ in self.told]
        after = self.told[names.index(position) + 1 :]
        missed = [name for name, _, rooms in after if room in rooms]
        return missed if len(missed) <= MOST else None


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 1, 6]),  # seconds that pass before
        st.integers(0, 15),  # the event's number: some come twice
        st.sets(st.sampled_from(ROOMS)),
    ),
    max_size=40,
)


@given(STEPS)
def test_it_answers_as_one_who_forgets_nothing_would(steps: list[tuple[int, int, set[str]]]) -> None:
    clock, model = Clock(), Model()
    history = History(MOST, SECONDS, PLENTY, clock)
    model.told.append((history.last("all"), 0, ()))
    for passed, number, rooms in steps:
        clock.now += passed
        name, members = f"e{number}", tuple(sorted(rooms))
        is_new = history.add(name, clock.now, news(name, *members))
        assert is_new == (name not in model.known(clock.now))
        if is_new:
            # What had been forgotten altogether may come again as if it were new.
            model.told = [each for each in model.told if each[0] != name]
            model.told.append((name, clock.now, members))
        known = model.known(clock.now)
        for room in ROOMS:
            for position, _, _ in model.told:
                assert ids(history.since(room, position)) == model.since(room, position, clock.now)
            in_room = [each for each, _, members in model.told if room in members and each in known]
            assert history.last(room) == (in_room[-1] if in_room else known[-1])


def test_a_position_of_one_room_is_good_in_any_other() -> None:
    history = History(MOST, SECONDS, PLENTY, Clock())
    for name, room in (("a", "1"), ("b", "2"), ("c", "1"), ("d", "2")):
        history.add(name, 0, news(name, room, "all"))
    assert ids(history.since("2", "c")) == ["d"]
    assert ids(history.since("empty", "c")) == []
    assert history.last("empty") == "d"


def test_a_quiet_room_is_not_forgotten_for_a_busy_one() -> None:
    history = History(MOST, SECONDS, PLENTY, Clock())
    start = history.last("quiet")
    history.add("first", 0, news("first", "quiet"))
    for number in range(100):
        history.add(str(number), 0, news(str(number), "busy"))
    assert ids(history.since("quiet", start)) == ["first"]
    assert history.since("busy", "first") is None
    assert history.since("busy", "95") is None
    assert ids(history.since("busy", "96")) == ["97", "98", "99"]


def test_after_a_new_beginning_nothing_of_before_is_known() -> None:
    history = History(MOST, SECONDS, PLENTY, Clock())
    history.add("a", 0, news("a", "1"))
    history.clear()
    assert history.since("1", "a") is None
    assert history.since("1", history.last("1")) == []
    assert history.add("a", 0, news("a", "1"))


def test_its_size_is_bounded() -> None:
    """The oldest go, whole: their ids too."""
    text = "x" * 1000
    each = EVENT_BYTES + ROOM_BYTES + len(text)
    history = History(MOST, SECONDS, 10 * each, Clock())
    for number in range(50):
        history.add(str(number), 0, news(str(number), f"room {number}", text=text))
    assert history.since("room 49", "39") is None
    assert ids(history.since("room 49", "40")) == ["49"]
    assert history.since("room 39", "40") == [], "nothing was told there after that"
    assert ids(history.since("room 41", "40")) == ["41"]
    assert len(history._events) == len(history._rooms) == 10
    assert history._bytes == 10 * each


def test_an_event_that_no_room_holds_any_more_is_a_place_alone() -> None:
    history = History(1, SECONDS, PLENTY, Clock())
    before = history._bytes
    for number in range(5):
        history.add(str(number), 0, news(str(number), "a", "b", text="x" * 1000))
    assert history._bytes == before + 5 * EVENT_BYTES + 2 * ROOM_BYTES + 1000
    assert history.since("a", "2") is None
    assert ids(history.since("a", "3")) == ["4"]
    assert not history.add("0", 0, news("0", "a")), "it is still known to have been told"


def test_who_waits_for_a_position_is_told_when_it_comes_and_none_stays_behind() -> None:
    async def story() -> None:
        history = History(MOST, SECONDS, PLENTY, Clock())
        waiting = [asyncio.create_task(history.wait_for("a", seconds)) for seconds in (0.001, 60, 60)]
        await waiting[0]
        assert not waiting[1].done(), "the patience of one is not that of the others"
        history.add("a", 0)
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        await history.wait_for("a", 60)
        await history.wait_for("never", 0.001)
        assert history._awaited == {}

    asyncio.run(story())


def test_what_was_before_a_moment_is_forgotten_also_where_it_began_at_no_known_time() -> None:
    history = History(10, seconds=3600, most_bytes=10**6, clock=lambda: None)
    history.add("mark", 100)
    history.add("a", 100, news("a", "1"))
    history.add("b", 110, news("b", "1"))
    history.forget_before(105)
    assert [history.since("1", position) for position in ("mark", "a")] == [None, None]
    assert history.since("1", "b") == []
    history.forget_before(120)
    assert history.since("1", "b") is None
    assert history.last("1")
