"""Requests that are worked on: so many of one client's at a time, while its others wait in line.

Whoever is behind the gateway works on a bounded number of requests. Without this a client that sends a
hundred at once would have everybody else wait for all of them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broker.errors import ServiceUnavailable

BUSY = "Too many of your requests wait for an answer; try again soon"


class Places:
    """Places by client, `most` each."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._clients: dict[str, _Client] = {}

    def __len__(self) -> int:
        """How many clients have a request here."""
        return len(self._clients)

    @asynccontextmanager
    async def of(self, client: str, until: float) -> AsyncIterator[None]:
        """The `with` runs once one of the client's places is free.

        Raises ServiceUnavailable where none is by `until`, a time of the event loop.
        """
        here = self._clients.get(client)
        if here is None:
            here = self._clients[client] = _Client(self._most)
        here.requests += 1
        try:
            if here.places.locked():
                try:
                    async with asyncio.timeout_at(until):
                        await here.places.acquire()
                except TimeoutError:
                    raise ServiceUnavailable(BUSY) from None
            else:
                await here.places.acquire()
            try:
                yield
            finally:
                here.places.release()
        finally:
            here.requests -= 1
            if not here.requests:
                del self._clients[client]


class _Client:
    __slots__ = ("places", "requests")

    def __init__(self, most: int) -> None:
        self.places = asyncio.Semaphore(most)
        self.requests = 0  # at work and in line
