"""A clock that tests set."""

from __future__ import annotations


class Clock:
    """Stands where `time.monotonic` would; `now` is in seconds, from an arbitrary beginning."""

    now = 5000.0

    def __call__(self) -> float:
        return self.now
