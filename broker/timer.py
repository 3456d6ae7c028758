"""`@timer(interval=seconds)`: Nameko's, but that no clock which somebody sets can hold it up or drive it on.

Nameko's counts from the machine's clock: set back by a year it would not fire for a year, set forward it
would fire without a pause for all that it had missed.
"""

import time
from typing import Any

import nameko.timer
from eventlet import Timeout


class SteadyTimer(nameko.timer.Timer):
    """Fires every `interval` seconds, or when the one before has ended if that took longer; with `eager` at
    the start as well.
    """

    def _run(self) -> None:
        pause: float = 0 if self.eager else self.interval
        stopped: Any = self.should_stop
        while True:
            with Timeout(pause, exception=False):
                stopped.wait()
                return
            began = time.monotonic()
            self.handle_timer_tick()
            self.worker_complete.wait()
            self.worker_complete.reset()
            pause = max(began + self.interval - time.monotonic(), 0)


timer = SteadyTimer.decorator
