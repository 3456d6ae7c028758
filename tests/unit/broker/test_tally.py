"""A log line at once, and then one now and again."""

from __future__ import annotations

import logging

import pytest

from broker import tally
from broker.tally import MOST_NAMES, Tally

_log = logging.getLogger("tests.tally")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(tally.time, "monotonic", lambda: now[0])
    return now


def test_the_first_is_said_and_the_others_are_counted(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    counted = Tally(_log, "a message of %s is dropped")
    for _ in range(1000):
        counted.note("q", ValueError("x" * 1000))
        clock[0] += 0.001
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("a message of q is dropped: ValueError: xxx")
    assert len(caplog.messages[0]) < 300


def test_while_it_goes_on_it_is_said_again(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    counted = Tally(_log, "a message of %s is dropped")
    for _ in range(3):
        counted.note("q", "why")
        counted.note("q", "why")
        clock[0] += tally.AGAIN_SECONDS
    assert caplog.messages[1:] == [
        "a message of q is dropped: why, 2 since it was last said, 3 in all",
        "a message of q is dropped: why, 2 since it was last said, 5 in all",
    ]


def test_others_have_their_own_line_up_to_a_bound(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    counted = Tally(_log, "%s")
    for number in range(MOST_NAMES + 50):
        counted.note(f"q{number}", "\ud800")
    assert len(caplog.messages) == MOST_NAMES + 1
    assert counted.counts["others"] == 50
