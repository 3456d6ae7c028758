"""What was announced and is not believed yet: of which users and sessions auth is to be asked.

Whoever may write to the broker can announce anything, so an announcement changes nothing by itself. It costs
a question to its owner: one for all that came meanwhile, and with too many, one reading of everything.
"""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

# Of either kind, in one question.
MOST_ASKED = 100
MOST_WAITING = 1000
# Between two questions, however much is announced; and between two readings of everything for that.
PAUSE_SECONDS = 0.05
READING_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Question:
    """For auth's `confirm()`."""

    users: list[int]
    sessions: list[str]


class Hints:
    """Gathered on one thread, or many, and asked about on another."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users: OrderedDict[int, None] = OrderedDict()
        self._sessions: OrderedDict[str, None] = OrderedDict()
        self._too_many = False

    def of_user(self, user_id: int) -> None:
        self._add(self._users, user_id)

    def of_session(self, session: str) -> None:
        self._add(self._sessions, session)

    @property
    def are_too_many(self) -> bool:
        """Whether some were not kept, so that nothing less than everything must be read."""
        return self._too_many

    def take(self) -> Question | None:
        """Those that came first, MOST_ASKED of either kind at most; None where there are none."""
        with self._lock:
            users = [self._users.popitem(last=False)[0] for _ in range(min(MOST_ASKED, len(self._users)))]
            sessions = [
                self._sessions.popitem(last=False)[0] for _ in range(min(MOST_ASKED, len(self._sessions)))
            ]
        return Question(users, sessions) if users or sessions else None

    def forget(self) -> None:
        """Everything is read from now on: what was announced until now will be in it."""
        with self._lock:
            self._users.clear()
            self._sessions.clear()
            self._too_many = False

    def _add(self, kept: "OrderedDict[int, None] | OrderedDict[str, None]", hint: int | str) -> None:
        with self._lock:
            if len(kept) < MOST_WAITING:
                kept[hint] = None  # type: ignore[index]
            elif hint not in kept:
                self._too_many = True
