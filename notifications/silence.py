"""Connections over which no request comes: aiohttp would keep them for ever."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

LOOK_SECONDS = 0.5


class Silence:
    """Ends connections whose first request has not arrived whole, headers that is, after `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._asked: set[Any] = set()
        self._silent_since: dict[Any, float] = {}

    @web.middleware
    async def note(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """The middleware of an application that shall be watched."""
        self._asked.add(request.protocol)
        return await handler(request)

    async def watch(self, runner: web.AppRunner) -> None:
        """Look after the connections of a runner that was set up, until cancelled or it is cleaned up."""
        while runner.server is not None:
            self._look(set(runner.server.connections), time.monotonic())
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self, connections: set[Any], now: float) -> None:
        self._asked &= connections
        silent = connections - self._asked
        self._silent_since = {each: self._silent_since.get(each, now) for each in silent}
        for connection, since in self._silent_since.items():
            if now - since >= self._seconds and connection.transport is not None:
                connection.transport.abort()
