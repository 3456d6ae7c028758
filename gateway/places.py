"""Requests that are worked on: so many of one client's at a time, while its others wait in line.

Whoever is behind the gateway works on a bounded number of requests. Without this a client that sends a
hundred at once would have everybody else wait for all of them, and one that does not read would have us keep
the answers.
"""

import asyncio

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

    async def enter(self, client: str, until: float) -> None:
        """Returns once one of the client's places is free and taken; `leave` gives it back.

        Raises ServiceUnavailable where none is free by `until`, a time of the event loop.
        """
        here = self._clients.get(client)
        if here is None:
            here = self._clients[client] = _Client(self._most)
        here.requests += 1
        try:
            if here.places.locked():
                async with asyncio.timeout_at(until):
                    await here.places.acquire()
            else:
                await here.places.acquire()
        except BaseException as error:
            self._forget(client, here)
            if isinstance(error, TimeoutError):
                raise ServiceUnavailable(BUSY) from None
            raise

    def leave(self, client: str) -> None:
        """One of the client's requests is done with, and its answer sent."""
        here = self._clients[client]
        here.places.release()
        self._forget(client, here)

    def _forget(self, client: str, here: "_Client") -> None:
        here.requests -= 1
        if not here.requests:
            del self._clients[client]


class _Client:
    __slots__ = ("places", "requests")

    def __init__(self, most: int) -> None:
        self.places = asyncio.Semaphore(most)
        self.requests = 0  # at work and in line
