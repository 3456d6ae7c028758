from __future__ import annotations

import itertools
import time
from typing import Any

import eventlet
import pytest

from broker.timer import SteadyTimer


class Ticking(SteadyTimer):
    """One whose work takes no time."""

    def __init__(self, interval: float, *, eager: bool) -> None:
        super().__init__(interval, eager=eager)
        self.ticks: list[float] = []

    def handle_timer_tick(self) -> None:
        self.ticks.append(time.monotonic())
        self.worker_complete.send()
        if len(self.ticks) == 3:
            self.should_stop.send(True)


@pytest.mark.parametrize("step", [-3e8, 3e8])
def test_a_clock_that_is_set_neither_holds_it_up_nor_drives_it_on(
    step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.chain([time.time()], itertools.repeat(time.time() + step))
    monkeypatch.setattr(time, "time", lambda: next(clock))
    timer: Any = Ticking(0.1, eager=True)
    with eventlet.Timeout(60):
        timer._run()
    first, second, third = timer.ticks
    assert second - first >= 0.09
    assert third - second >= 0.09
