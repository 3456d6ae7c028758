"""Whether a part can serve, in words: a sentence for whoever asks, the detail for operators in the log.

Who asks may do so as often as he likes, so nothing here waits or asks anybody: what is true is found out in
the background, and kept.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

SAY_AGAIN_SECONDS = 60.0
LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Trouble:
    """Why a part cannot serve. `detail` may name hosts and files, and is for the log alone."""

    sentence: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.sentence} ({self.detail})" if self.detail else self.sentence


Check = Callable[[], Trouble | str | None]


def troubles(checks: Iterable[Check]) -> Iterator[Trouble]:
    """What the checks find, in their order. None of them may wait."""
    for check in checks:
        if found := check():
            yield found if isinstance(found, Trouble) else Trouble(found)


class TroubleLog:
    """Says a trouble once, again while it lasts, and that it is over. `who` begins each line."""

    def __init__(self, log: logging.Logger, who: str) -> None:
        self._log = log
        self._who = who
        self._said = ""
        self._since = 0.0
        self._again_at = 0.0

    def tell(self, trouble: Trouble | None) -> None:
        """What is so now, None where all is well. To be called whenever that is found out."""
        now = time.monotonic()
        if trouble is None:
            if self._said:
                self._log.info("%s is ready again, after %.1f s", self._who, now - self._since)
            self._said = ""
        elif trouble.sentence != self._said or now >= self._again_at:
            if not self._said:
                self._since = now
            lasted = f", for {now - self._since:.0f} s now" if trouble.sentence == self._said else ""
            self._log.error("%s is not ready%s: %s", self._who, lasted, trouble)
            self._said, self._again_at = trouble.sentence, now + SAY_AGAIN_SECONDS
