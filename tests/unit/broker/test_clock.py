from __future__ import annotations

import time

import pytest

from broker import clock
from broker.clock import FollowedClock


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(clock, "steady", lambda: now[0])
    return now


def test_it_is_never_ahead_of_the_clock_that_it_follows(steady: list[float]) -> None:
    followed = FollowedClock()
    # It was 5,000 there when it was 1,000 here, and this was heard 0.4 s later, then 0.1 s later.
    for took in (0.4, 0.1, 0.4):
        steady[0] = 1000.0 + took
        followed.hear(5000.0, 1000.0, steady[0])
        assert 5000.0 <= followed.time() <= 5000.0 + took
    assert followed.time() == pytest.approx(5000.3), "the quickest answer of them counts"


@pytest.mark.parametrize("step", [-3e8, -100.0, 100.0, 3e8])
def test_it_follows_a_clock_that_is_set(steady: list[float], step: float) -> None:
    followed = FollowedClock()
    followed.hear(5000.0, 1000.0, 1000.1)
    steady[0] = 1010.2
    followed.hear(5010.1 + step, 1010.1, 1010.2)
    assert followed.time() == pytest.approx(5010.1 + step, abs=0.11)


def test_this_machines_clock_may_be_set_to_whatever(
    steady: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = FollowedClock()
    assert followed.time() == pytest.approx(time.time(), abs=5)
    followed.hear(5000.0, 1000.0, 1000.0)
    monkeypatch.setattr(time, "time", lambda: 9e9)
    steady[0] = 1060.0
    assert followed.time() == 5060.0
    assert followed.now().isoformat() == "1970-01-01T01:24:20+00:00"


def test_it_knows_when_it_should_ask_again(steady: list[float]) -> None:
    followed = FollowedClock()
    assert not followed.is_known
    assert followed.is_older_than(10)
    followed.hear(5000.0, 1000.0, 1000.0)
    assert followed.is_known
    assert not followed.is_older_than(10)
    steady[0] = 1010.1
    assert followed.is_older_than(10)
