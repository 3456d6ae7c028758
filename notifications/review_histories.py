"""In which history movies' database is: what the rooms were told in another one is not of this one."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import kombu
from nameko.exceptions import MethodNotFound

from broker import history
from broker.history import History
from broker.rpc_client import call
from broker.tokens import ReadingAllowance
from notifications.providers import HandOver
from notifications.threads import answered

_log = logging.getLogger(__name__)

ASKING_SECONDS = 2.0
ASK_AGAIN_SECONDS = 5.0
AFTER_FAILURE_SECONDS = 1.0

Ask = Callable[[], Awaitable[Any]]


class Unknown(Exception):
    """Movies does not answer."""


class MoviesWord:
    """Asks movies, over a connection of its own: for its keys, with which it says its history."""

    def __init__(self, connection: kombu.Connection, hand_over: HandOver) -> None:
        self._connection = connection
        self._hand_over = hand_over

    async def __call__(self) -> Any:
        """The history, None from a movies of a release before. Raises Unknown."""
        keys = await answered(self._ask, self._hand_over)
        if not isinstance(keys, list):
            raise Unknown from keys if isinstance(keys, Exception) else None
        return next((key["history"] for key in keys if isinstance(key, dict) and "history" in key), None)

    def _ask(self) -> Any:
        with self._connection.clone() as opened:
            try:
                return call(opened, "movies.public_keys", seconds=ASKING_SECONDS)
            except MethodNotFound:  # movies of the release before has none
                return []


class ReviewHistories:
    """Used on the event loop. `changed` is awaited when movies is found in another history than before."""

    def __init__(self, ask: Ask, changed: Callable[[History, bool], Awaitable[object]]) -> None:
        self._ask = ask
        self._changed = changed
        self._current: History | None = None
        self._asked = False
        self._allowance = ReadingAllowance(most=1)

    async def includes(self, data: Mapping[str, Any], at: float) -> bool:
        """Whether an event with these data, of the moment `at` (seconds since 1970), is of movies' history.

        Waits for movies until it has answered once.
        """
        while not self._asked and not await self.look():
            await asyncio.sleep(AFTER_FAILURE_SECONDS)
        named = history.of_event(data)
        if self._is_news(named) and self._allowance.take():
            await self.look()
        if self._current is None:
            return True
        return self._current.includes(named, datetime.fromtimestamp(at, UTC))

    def _is_news(self, named: str | None) -> bool:
        """Whether movies may be in that history by now."""
        current = self._current
        return current is not None and named not in (None, current.id, *current.before)

    async def look(self) -> bool:
        """Ask movies; whether it answered."""
        try:
            told = history.heard(await self._ask())
        except (Unknown, ValueError) as error:
            _log.debug("movies does not say in which history it is (%s)", type(error).__name__)
            return False
        first, self._asked = not self._asked, True
        if told is not None and (self._current is None or told.id != self._current.id):
            former, self._current = self._current, told
            _log.info("movies is in its history %d", told.number)
            if former is not None or not first or told.number > 1:
                await self._changed(told, former is not None)
        return True

    async def keep_looking(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(ASK_AGAIN_SECONDS)
            with suppress(OSError):
                await self.look()
