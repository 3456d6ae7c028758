"""A front door: it listens, lets in whom there is room for, and sees that nobody takes too long."""

import asyncio
import errno
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from broker.doors import listening
from broker.doors.clients import client_address
from broker.doors.connection import Connection
from broker.doors.origins import Origins
from broker.doors.refusals import Refusal
from broker.doors.shares import Shares

_log = logging.getLogger(__name__)

BACKLOG = 1024
ACCEPT_AT_ONCE = 64  # before those inside get their turn again
PAUSE_SECONDS = 0.1  # of an accept that finds no file left
SAY_AGAIN_SECONDS = 60.0
LOOK_SECONDS = 0.25
# Connections beyond the bound that are being told so; those beyond even that are closed without a word.
MOST_REFUSALS = 100
REFUSAL_SECONDS = 1.0  # for them to ask, and be told
_NO_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True)
class Patience:
    """How long a client may take, in seconds: `head` for all headers of a request, `send` to take a whole
    answer in, `idle` between two requests.
    """

    head: float
    send: float
    idle: float


@dataclass(frozen=True)
class Bounds:
    """Connections in all and from one address, and one client's requests at work."""

    connections: int
    of_one_address: int
    at_work: int
    proxies: int = 0


class Door:
    """A front door of the process, on whichever event loop runs `listen()`."""

    def __init__(self, patience: Patience, bounds: Bounds, origins: Origins) -> None:
        self.patience = patience
        self.bounds = bounds
        self.origins = origins
        # All connections of a proxy are somebody else's each.
        of_one = bounds.connections if bounds.proxies else bounds.of_one_address
        self.shares = Shares(bounds.connections, of_one, bounds.at_work, _retire)
        self.stopping = False
        self.connections: dict[Connection, None] = {}
        self._refused: set[Connection] = set()
        self._watched: set[Connection] = set()
        self._socket: Any = None
        self._said_at = -SAY_AGAIN_SECONDS
        self._tasks: set[Any] = set()

    def bind(self, name: str, host: str, port: int) -> None:
        """Take the port. Whoever connects is not heard before `listen`. Raises ConfigurationError, which
        names the settings by what they begin with.
        """
        self._name = name
        self._socket = listening.bound(name, host, port)

    def listen(self, server: web.Server) -> None:
        """Let clients in; `server` is asked for the answers. The event loop must be running.

        Raises ConfigurationError.
        """
        self._server = server
        self._loop = asyncio.get_running_loop()
        listening.listen(self._name, self._socket, BACKLOG)
        self._loop.add_reader(self._socket.fileno(), self._accept)
        self._loop.call_later(LOOK_SECONDS, self._look)

    def close(self) -> None:
        """Let nobody in any more, and say so with each answer."""
        self.stopping = True
        if self._socket is None:
            return
        # The kernel has connected those in the queue already: closed with them in it, it would reset them.
        self._loop.remove_reader(self._socket.fileno())
        while self._take_one():
            pass
        self._socket.close()
        self._socket = None

    def enter(self, connection: Connection) -> None:
        """A connection is open."""
        self.connections[connection] = None

    def leave(self, connection: Connection) -> None:
        """It is gone."""
        self.connections.pop(connection, None)
        self._refused.discard(connection)
        self._watched.discard(connection)
        self.shares.leave(connection)

    def watch(self, connection: Connection) -> None:
        """It has more to take than the kernel takes for it."""
        self._watched.add(connection)

    def _accept(self) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            if not self._take_one():
                return

    def _take_one(self) -> bool:
        try:
            accepted, address = self._socket.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno in _NO_FILES:
                self._pause(error)
                return False
            return True  # it went before we came
        accepted.setblocking(False)
        self._admit(accepted, address[0])
        return True

    def _pause(self, error: OSError) -> None:
        """Wait: asked again at once, the kernel would say the same, thousands of times a second."""
        now = time.monotonic()
        if now - self._said_at >= SAY_AGAIN_SECONDS:
            self._said_at = now
            _log.error("no connection could be taken in: %s", error.strerror)
        if self.stopping:
            return
        self._loop.remove_reader(self._socket.fileno())
        self._loop.call_later(PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        if self._socket is not None:
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def _admit(self, accepted: Any, address: str) -> None:
        refusal = None
        client = client_address(address, "", 0)
        if not self.shares.admits(client):
            if len(self._refused) >= MOST_REFUSALS:
                accepted.close()
                return
            refusal = Refusal(503)
        connection = Connection(self, self._server, address, refusal)
        if refusal is None:
            self.shares.enter(connection, client)
        else:
            self._refused.add(connection)
        opening = self._loop.create_task(self._open(connection, accepted))
        self._tasks.add(opening)
        opening.add_done_callback(self._tasks.discard)

    async def _open(self, connection: Connection, accepted: Any) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError as error:
            _log.debug("a connection broke: %s", error)
            accepted.close()
            self.leave(connection)

    def _look(self) -> None:
        """End what takes too long."""
        now = time.monotonic()
        patience = self.patience
        for connection in self.shares.idle():
            if connection.framing.started is not None:
                if now - connection.framing.started > patience.head:
                    connection.interrupt(Refusal(408))
            elif now - connection.since > (patience.idle if connection.asked else patience.head):
                connection.force_close()
        for connection in list(self._refused):
            if now - connection.since > REFUSAL_SECONDS and not connection.asked:
                connection.interrupt(connection.refusal or Refusal(503))
        for connection in list(self._watched):
            if connection.stuck_since is None or connection.is_websocket:
                self._watched.discard(connection)
            elif now - connection.stuck_since > patience.send:
                connection.abort()
        if self._socket is not None or self.connections:
            self._loop.call_later(LOOK_SECONDS, self._look)


def _retire(connection: Connection) -> None:
    with suppress(OSError):
        connection.force_close()
