"""What goes on in the log while it goes on in the world: a line at once, and then one now and again."""

import logging
import time
from collections import Counter
from dataclasses import dataclass, field

AGAIN_SECONDS = 10.0
MOST_NAMES = 100
CAUSE_CHARACTERS = 200


@dataclass
class Tally:
    """Counts what happens to things by their names, queues' for one, and says so within bounds.

    `sentence` has a `%s` for the name: "set aside a message of %s".
    """

    log: logging.Logger
    sentence: str
    level: int = logging.WARNING
    again_seconds: float = AGAIN_SECONDS
    counts: Counter[str] = field(default_factory=Counter)
    _said: dict[str, tuple[float, int]] = field(default_factory=dict)  # when, and the count then

    def note(self, name: str, cause: BaseException | str) -> None:
        """One more of `name`, because of `cause`."""
        if name not in self.counts and len(self.counts) >= MOST_NAMES:
            name = "others"
        self.counts[name] += 1
        now, count = time.monotonic(), self.counts[name]
        said_at, said = self._said.get(name, (float("-inf"), 0))
        if now - said_at < self.again_seconds:
            return
        self._said[name] = now, count
        why = cause if isinstance(cause, str) else f"{type(cause).__name__}: {cause}"
        since = f", {count - said} since it was last said, {count} in all" if said else ""
        self.log.log(self.level, f"{self.sentence}: %s%s", name, _legible(why), since)


def _legible(text: str) -> str:
    return text[:CAUSE_CHARACTERS].encode("utf-8", "backslashreplace").decode()
