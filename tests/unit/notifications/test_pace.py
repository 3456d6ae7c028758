from __future__ import annotations

import math

import pytest

from notifications.limits import BURST_SECONDS, MOST_WAIT_SECONDS, Pace
from tests.unit.clock import Clock


@pytest.mark.parametrize("rate", [0.05, 1, 10, 500])
def test_whoever_waits_for_each_message_is_never_refused(rate: float, clock: Clock) -> None:
    pace, began = Pace(rate, clock), clock.now
    for _ in range(200):
        clock.now += pace.take()
    burst = max(rate * BURST_SECONDS, 1)
    assert clock.now - began == pytest.approx((200 - burst) / rate if burst < 200 else 0, rel=0.02)


def test_many_that_share_a_pace_wait_so_long_and_one_more_is_refused(clock: Clock) -> None:
    pace = Pace(10, clock)
    waits = [pace.take() for _ in range(10_000)]
    admitted = [wait for wait in waits if wait < math.inf]
    assert MOST_WAIT_SECONDS <= max(admitted) <= MOST_WAIT_SECONDS + 0.2
    assert len(admitted) == pytest.approx(10 * (BURST_SECONDS + MOST_WAIT_SECONDS), abs=2)
    assert all(wait == math.inf for wait in waits[len(admitted) :])


def test_what_is_refused_keeps_nobody_waiting(clock: Clock) -> None:
    pace = Pace(10, clock)
    for _ in range(100_000):
        pace.take()
    clock.now += MOST_WAIT_SECONDS + 1
    assert pace.take() == 0
