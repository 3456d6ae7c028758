"""What is dropped is said at once, and again while it goes on, and not for every one."""

from __future__ import annotations

import time

import pytest

from broker.log_lines import AGAIN_SECONDS, Drops
from tests.unit.clock import Clock


def test_a_flood_of_drops_is_a_line_now_and_then(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    drops = Drops("an event")
    for _ in range(1000):
        drops.note("it is none")
    clock.now += AGAIN_SECONDS
    drops.note("it is another")
    monkeypatch.undo()
    assert [record.message for record in caplog.records] == [
        "dropped an event (it is none), 1 until now",
        "dropped an event (it is another), 1001 until now",
    ]
