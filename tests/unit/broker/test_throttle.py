from __future__ import annotations

import tracemalloc

import pytest

from broker.throttle import MOST_COUNTS, Counts, Quota, Throttle
from tests.processes import free_port
from tests.unit.clock import Clock

QUOTA = Quota("things", 10, 60)


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    return Throttle(timer=clock)


@pytest.mark.parametrize(
    ("text", "most", "seconds"),
    [("10 per 15 minutes", 10, 900), ("6000/minute", 6000, 60), ("1 per second", 1, 1), ("5/hour", 5, 3600)],
)
def test_a_quota_is_written_as_people_say_it(text: str, most: int, seconds: int) -> None:
    assert Quota.of("x", text) == Quota("x", most, seconds)


def test_as_many_as_the_quota_has_are_within_it(throttle: Throttle) -> None:
    standings = [throttle.take(QUOTA, "a") for _ in range(12)]
    assert [each.is_within for each in standings] == [True] * 10 + [False] * 2
    assert [each.remaining for each in standings] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]


def test_keys_and_quotas_are_counted_apart(throttle: Throttle) -> None:
    for _ in range(10):
        throttle.take(QUOTA, "a")
    assert throttle.take(QUOTA, "b").is_within
    assert throttle.take(Quota("others", 10, 60), "a").is_within
    assert not throttle.look(QUOTA, "a").is_within


def test_looking_counts_nothing_and_clearing_forgets(throttle: Throttle) -> None:
    for _ in range(20):
        assert throttle.look(QUOTA, "a").remaining == 10
    throttle.take(QUOTA, "a")
    throttle.clear(QUOTA, "a")
    assert throttle.look(QUOTA, "a").remaining == 10


@pytest.mark.parametrize("most", [1, 3, 10, 300])
@pytest.mark.parametrize("pause", [0, 10, 59, 61, 100])
def test_who_waits_as_long_as_told_is_within_again(
    throttle: Throttle, clock: Clock, most: int, pause: float
) -> None:
    quota = Quota("things", most, 60)
    throttle.take(quota, "a")
    clock.now += pause
    while (standing := throttle.take(quota, "a")).is_within:
        pass
    assert 0 < standing.retry_after <= 121
    clock.now += standing.retry_after
    assert throttle.take(quota, "a").is_within


def test_a_window_later_it_weighs_less_and_two_later_nothing(throttle: Throttle, clock: Clock) -> None:
    for _ in range(10):
        throttle.take(QUOTA, "a")
    clock.now += 90
    assert throttle.look(QUOTA, "a").remaining == 5
    clock.now += 30
    assert throttle.look(QUOTA, "a").remaining == 10


def test_the_fields_are_those_of_the_draft(throttle: Throttle) -> None:
    standing = throttle.take(QUOTA, "a")
    assert QUOTA.policy == '"things";q=10;w=60'
    assert standing.field == '"things";r=9;t=120'


def test_any_number_of_keys_takes_a_bounded_memory() -> None:
    counts = Counts()
    tracemalloc.start()
    try:
        for number in range(MOST_COUNTS * 2):
            counts.acquire_sliding_window_entry(f"reads:60:10.{number}", 10, 60)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(counts) == MOST_COUNTS
    assert taken < 16 * 2**20


def test_without_redis_it_is_counted_here(clock: Clock) -> None:
    throttle = Throttle(f"redis://127.0.0.1:{free_port()}", clock)
    assert [throttle.take(QUOTA, "a").is_within for _ in range(11)] == [True] * 10 + [False]
