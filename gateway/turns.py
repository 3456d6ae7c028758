"""One client's costly work comes one after the other, and few pieces of it wait."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from eventlet.semaphore import Semaphore

from broker.errors import ServiceUnavailable, TooManyRequests

BUSY = "Too many people are signing in; try again soon"


@dataclass(slots=True)
class Line:
    """A client's: `length` counts who is at work as well."""

    length: int = 0
    turn: Semaphore = field(default_factory=Semaphore)


class Turns:
    """Lines by client. So however many one client sends, what others send waits for one of them at most."""

    def __init__(self, most: int, seconds: float) -> None:
        """`most` stand in one client's line, each for `seconds` at most."""
        self._most = most
        self._seconds = seconds
        self._lines: dict[str, Line] = {}

    def __len__(self) -> int:
        """How many clients have a line."""
        return len(self._lines)

    @contextmanager
    def of(self, client: str) -> Iterator[None]:
        """The `with` runs when it is its turn; greenlets wait for that.

        Raises TooManyRequests where the line is full, ServiceUnavailable where the turn is too long in
        coming.
        """
        line = self._lines.setdefault(client, Line())
        if line.length >= self._most:
            raise TooManyRequests(retry_after=1)
        line.length += 1
        try:
            if not line.turn.acquire(timeout=self._seconds):
                raise ServiceUnavailable(BUSY)
            try:
                yield
            finally:
                line.turn.release()
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[client]
