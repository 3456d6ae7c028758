"""What a service knows of its database's history, and what is wrong with it: looked at now and then."""

import logging
import time

from nameko.extensions import DependencyProvider
from sqlalchemy import exc

from broker import history_table
from broker.database import Transaction
from broker.errors import ServiceUnavailable
from broker.history import History

_log = logging.getLogger(__name__)

LOOK_SECONDS = 5
SAY_AGAIN_SECONDS = 60.0


class Watch:
    """`current` is the history that the database is in, None while that is not known."""

    def __init__(self, part: str) -> None:
        self.current: History | None = None
        self._part = part
        self._troubles: dict[str, str | None] = {}
        self._say_again_at: dict[str, float] = {}

    @property
    def trouble(self) -> str | None:
        """A sentence on what keeps the data from going with others', and what to do; or None."""
        return next((each for each in self._troubles.values() if each is not None), None)

    def look(self, transaction: Transaction) -> None:
        """A database that is away, or not migrated yet, says nothing: that is for others to find."""
        try:
            with transaction.reading() as reader:
                self.current = history_table.current(reader)
                self.note("place", history_table.trouble(reader, self._part))
        except (ServiceUnavailable, exc.DBAPIError) as error:
            _log.debug("the history of %s cannot be read (%s)", self._part, type(error).__name__)

    def note(self, of: str, trouble: str | None) -> None:
        """Keep a trouble of this kind, or that there is none; it is logged, and again while it lasts."""
        now = time.monotonic()
        if trouble is not None and (
            trouble != self._troubles.get(of) or now > self._say_again_at.get(of, 0.0)
        ):
            _log.error("%s", trouble)
            self._say_again_at[of] = now + SAY_AGAIN_SECONDS
        self._troubles[of] = trouble

    def check(self) -> None:
        """Raises ServiceUnavailable where there is trouble: nothing is to be written then."""
        if self.trouble is not None:
            raise ServiceUnavailable("The data are being restored; try again later")

    def status(self, status: dict[str, str]) -> dict[str, str]:
        """A service's `status`, with the trouble where there is one."""
        if self.trouble is None or status["status"] != "OK":
            return status
        return {**status, "status": "ERROR", "error": self.trouble}


class HistoryWatch(DependencyProvider):
    """Injects the Watch of the database of `part` (auth or movies), which all workers share."""

    def __init__(self, part: str) -> None:
        self.part = part

    def setup(self) -> None:
        self.watch = Watch(self.part)

    def get_dependency(self, worker_ctx: object) -> Watch:  # noqa: ARG002
        return self.watch
