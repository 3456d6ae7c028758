"""Sockets are closed when their token ends: by its age, or because its session was revoked.

Socket.IO's own disconnect, sent by the server, keeps stock clients from connecting again by themselves: with
the same token they would be refused for ever.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any

from aiohttp import WSCloseCode

from broker.tokens import Ending
from notifications.clients import Clients
from notifications.handlers import Client, Tokens
from notifications.sockets import ROOT, SocketServer

_log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # between two looks at all tokens
LOOK_AT = 500  # tokens in a row, before others have their turn
GOODBYE_SECONDS = 1.0  # for what is said to a client that may have stopped reading
HANG_UP_SECONDS = 1.0  # for the client to close its connection itself, as stock ones do when told

SENTENCES: dict[Ending, str] = {
    "expired": "Your access token has expired; connect again with a new one",
    "revoked": "Your sign-in has ended; sign in and connect again with a new token",
}


class Endings:
    """Watches the tokens of those signed in, from `start` to `stop`."""

    def __init__(self, server: SocketServer, clients: Clients, tokens: Tokens) -> None:
        self._server = server
        self._clients = clients
        self._tokens = tokens
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._spawn(self._watch())

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    def check(self, clients: Iterable[Client]) -> None:
        """Close those of `clients` whose token has ended; returns at once. From then on they are unknown here
        and can do nothing any more.
        """
        for client in clients:
            ending = None if client.identity is None else self._tokens.ending(client.identity)
            if ending is not None and self._clients.of(client.sid) is client:
                self._clients.remove(client.sid)
                self._spawn(self._close(client.sid, ending))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            clients = self._clients.signed_in()
            for start in range(0, len(clients), LOOK_AT):
                self.check(clients[start : start + LOOK_AT])
                await asyncio.sleep(0)

    async def _close(self, sid: str, ending: Ending) -> None:
        manager = self._server.manager
        session = manager.eio_sid_from_sid(sid, ROOT)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    why = {"error": SENTENCES[ending], "code": f"token_{ending}"}
                    await self._server.emit("closed", why, to=sid)
                    await self._server.disconnect(sid)
        except Exception:
            _log.exception("a client was not told that its token has ended")
        finally:
            # Where the goodbye did not come to its end, the rooms still have it.
            await manager.disconnect(sid, ROOT, ignore_queue=True)
        await asyncio.sleep(HANG_UP_SECONDS)
        if manager.sid_from_eio_sid(session, ROOT) is None:  # it has not come again, with another token
            await self._server.eio.hang_up(session, "its token has ended", WSCloseCode.POLICY_VIOLATION)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
