"""Time: UTC, passed in so that rules can be tried without a clock, and of one clock, a database's.

What is ordered, counted or judged by a moment takes it from there (`broker.database.Transaction.now`, and the
reading of auth that tokens are judged by), so that no machine's own clock matters, however wrong it is.
"""

import time
from datetime import UTC, datetime, timedelta

# How much older than now a moment may look that another process has just noted: what lies further ahead is of
# a time when the database's clock was wrong.
AHEAD = timedelta(seconds=60)
# Of all clocks the one that nobody sets, and that goes on while a machine sleeps, where there is one.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def iso(moment: datetime) -> str:
    """`moment` (in UTC) as ISO 8601, as REST and the events give it."""
    return moment.isoformat().replace("+00:00", "Z")


def utc_now() -> datetime:
    """By this machine's own clock."""
    return datetime.now(UTC)


def steady() -> float:
    """Seconds since some moment; no one sets this clock."""
    return time.clock_gettime(_STEADY)


class FollowedClock:
    """Somebody else's clock, known from what it said and from how long ago that was.

    It is never ahead of the one that it follows, and behind by no more than the quickest answer took.
    """

    def __init__(self) -> None:
        self._ahead: float | None = None  # of the steady clock, at least
        self._heard_at = 0.0

    @property
    def is_known(self) -> bool:
        return self._ahead is not None

    def hear(self, said: float, asked: float, answered: float) -> None:
        """The other clock said `said` (seconds since 1970) between these two moments of the steady one."""
        least, most = said - answered, said - asked
        self._ahead = least if self._ahead is None else min(max(self._ahead, least), most)
        self._heard_at = answered

    def is_older_than(self, seconds: float) -> bool:
        """Whether it was last heard so long ago, or never."""
        return self._ahead is None or steady() - self._heard_at > seconds

    def time(self) -> float:
        """Seconds since 1970; by this machine's clock where the other is not known."""
        return time.time() if self._ahead is None else self._ahead + steady()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)
