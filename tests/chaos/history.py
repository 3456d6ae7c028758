"""What the clients did and what they were told: the record that the checker judges the platform by."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

# What a request that got no answer came to.
REFUSED = "refused"  # no connection was made
CUT_OFF = "cut off"  # the connection ended before the answer was there
SILENT = "silent"  # no answer within the client's patience
UNANSWERED = (REFUSED, CUT_OFF, SILENT)

TRY_AGAIN = ("408", "425", "429")  # the 4xx that another attempt may mend


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request. Times are in seconds, `started` since the history began."""

    kind: str  # "review", "read", "search", "sign-in"
    gateway: int
    started: float
    seconds: float
    outcome: str  # a status, or one of UNANSWERED

    @property
    def ended(self) -> float:
        return self.started + self.seconds

    @property
    def answered(self) -> bool:
        return self.outcome not in UNANSWERED

    @property
    def succeeded(self) -> bool:
        return self.outcome in ("200", "201")


@dataclass
class Write:
    """One review that a client wants written once, however often it asks. For one thread at a time."""

    user: int
    movie: int
    rating: float
    token: str = field(repr=False)
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    outcomes: list[str] = field(default_factory=list)  # of its attempts, in order
    told: list[int] = field(default_factory=list)  # the ids of the reviews that were acknowledged

    @property
    def acknowledged(self) -> bool:
        return bool(self.told)

    @property
    def settled(self) -> bool:
        """Whether another attempt would change nothing."""
        last = self.outcomes[-1] if self.outcomes else ""
        return self.acknowledged or (last.startswith("4") and last not in TRY_AGAIN)

    @property
    def body(self) -> dict[str, object]:
        return {"title": f"Seen by {self.user}", "rating": self.rating}


class History:
    """Shared by all client threads."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._attempts: list[Attempt] = []
        self._writes: list[Write] = []

    def now(self) -> float:
        """Seconds since the history began."""
        return time.monotonic() - self._began

    def add_attempt(self, attempt: Attempt) -> None:
        with self._lock:
            self._attempts.append(attempt)

    def add_write(self, write: Write) -> None:
        with self._lock:
            self._writes.append(write)

    def attempts(self, since: float = 0.0) -> list[Attempt]:
        """Those that began at `since` or later, in the order in which they ended."""
        with self._lock:
            return [attempt for attempt in self._attempts if attempt.started >= since]

    def writes(self) -> list[Write]:
        with self._lock:
            return self._writes.copy()

    def acknowledged(self) -> int:
        return sum(write.acknowledged for write in self.writes())


def outcomes(attempts: Iterable[Attempt]) -> str:
    """`"201: 980, 503: 12, cut off: 3"`"""
    counts = Counter(attempt.outcome for attempt in attempts)
    return ", ".join(f"{outcome}: {counts[outcome]}" for outcome in sorted(counts)) or "none"


def longest_answer(attempts: Iterable[Attempt]) -> float:
    """Seconds of the slowest request; one that was never answered counts with the client's patience.

    Those that met a closed door or lost their connection were told at once, by the connection's end.
    """
    return max((each.seconds for each in attempts if each.answered or each.outcome == SILENT), default=0.0)


def seconds_until_served(attempts: Iterable[Attempt], since: float, share: float = 0.99) -> float | None:
    """How long after `since` at least `share` of the requests succeed, in whole seconds.

    That is the first 1-s window, by when requests began, in which that holds as in every one after it. None
    where there is no such window.
    """
    windows: dict[int, list[bool]] = {}
    for attempt in attempts:
        if attempt.started >= since:
            windows.setdefault(int(attempt.started - since), []).append(attempt.succeeded)
    served: float | None = None
    for number in sorted(windows, reverse=True):
        if sum(windows[number]) < share * len(windows[number]):
            break
        served = float(number)
    return served
