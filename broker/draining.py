"""A container that serves clients hears what it must know for as long as it serves them.

Nameko stops all entrypoints at once; a front door goes on for a while, and what is heard from the broker with
it: a session that is revoked meanwhile is refused.
"""

from collections.abc import Callable

from nameko.extensions import SharedExtension


class Draining(SharedExtension):
    """Shared by a front door, if the container has one, and by whoever must not stop before it."""

    def __init__(self) -> None:
        super().__init__()
        self._drain: Callable[[], None] | None = None

    def by(self, drain: Callable[[], None]) -> None:
        """Before the start: `drain` returns when the last client is gone, however often it is called."""
        self._drain = drain

    def wait(self) -> None:
        """Return when the last client is gone; at once where there is no front door."""
        if self._drain is not None:
            self._drain()
