"""Keeps a server there that was started: one that dies is started again, so many times and no more."""

import logging
import time
from collections.abc import Mapping

from broker.config import ConfigurationError

from .server import Server

LOOK_SECONDS = 0.5
# Before each new start. A server that a killed one's processes keep from starting needs more than one.
PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0)
STEADY_SECONDS = 60  # a server that lived this long is as good as one that never died

_log = logging.getLogger(__name__)


class Lost(Exception):
    """The server died, and does not come back; one line for people."""


class Supervisor:
    """Watches `server`, which was started with `settings`."""

    def __init__(self, server: Server, settings: Mapping[str, str]) -> None:
        self._server = server
        self._settings = settings
        self._starts = 0  # again, since it was steady
        self._begun = time.monotonic()

    def run(self) -> None:
        """Until it is interrupted. Raises Lost."""
        while True:
            time.sleep(LOOK_SECONDS)
            for crash in self._server.crashes():
                _log.error("PostgreSQL cut off its clients and recovers: %s", crash)
            if why := self._server.trouble():
                self._start_again(why)

    def _start_again(self, why: str) -> None:
        if time.monotonic() - self._begun > STEADY_SECONDS:
            self._starts = 0
        while self._starts < len(PAUSES):
            _log.error("PostgreSQL is gone (%s): it is started again", why)
            time.sleep(PAUSES[self._starts])
            self._starts += 1
            try:
                self._server.start_again(self._settings)
            except (ConfigurationError, OSError) as error:
                why = str(error)
                continue
            self._begun = time.monotonic()
            _log.warning("PostgreSQL is there again")
            return
        raise Lost(f"PostgreSQL is gone and was started again {self._starts} times in vain: {why}")
