"""Who asked for what: a line each, as many a second as one client may have, and how many were beyond."""

import logging
import time
from collections import Counter
from collections.abc import Callable

from gateway.requests import Request

_access = logging.getLogger("gateway.access")

MOST_CLIENTS = 1000  # that have lines of their own in one second; the others share what one may have
OTHERS = "others"


class AccessLog:
    """Lines at INFO. Nobody fills a disk: one client has `rate` lines a second, and then one for the rest."""

    def __init__(self, rate: int, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._now = now
        self._since = now()
        self._lines: Counter[str] = Counter()  # of this second, by client

    def tell(self, request: Request, status: int, began: float) -> None:
        """A line for an answer; `began` is when it was asked for, by the monotonic clock."""
        if not _access.isEnabledFor(logging.INFO):
            return
        now = self._now()
        if now - self._since >= 1.0:
            self.tell_rest()
            self._since = now
        client = request.client_address
        if client not in self._lines and len(self._lines) >= MOST_CLIENTS:
            client = OTHERS
        self._lines[client] += 1
        if self._lines[client] <= self._rate:
            milliseconds = (now - began) * 1000
            _log(
                "%s %s %s %.0f ms %s",
                request.method,
                request.shown_path,
                status,
                milliseconds,
                request.request_id,
            )

    def tell_rest(self) -> None:
        """How many lines of each client were left out since this was last told."""
        for client, lines in self._lines.items():
            if lines > self._rate:
                _log("%d more requests of %s", lines - self._rate, client)
        self._lines.clear()


def _log(message: str, *args: object) -> None:
    # What info() makes of it, but for asking the stack who calls: a third of what a line took.
    _access.handle(logging.LogRecord(_access.name, logging.INFO, __file__, 0, message, args, None))
