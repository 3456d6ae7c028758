"""What the handlers need of the outside: the sockets' rooms, the state of tokens.

The broker's client blocks, so it has a thread. That only ever hands results to the event loop
(`call_soon_threadsafe`); all state is read and changed on the loop.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import kombu

from broker.rpc_client import call
from broker.tokens import Ending, Identity, ReadingAllowance, TokenVerifier, UserUpdated
from notifications.handlers import Gone
from notifications.peers import Peers
from notifications.sockets import SocketServer
from notifications.threads import spawn

_log = logging.getLogger(__name__)

READ_AGAIN_SECONDS = 1.0  # after a reading of the token state that failed
VERIFICATION_SECONDS = 2.0

HandOver = Callable[..., object]


class SocketRooms:
    """The rooms as Socket.IO keeps them."""

    def __init__(self, server: SocketServer, peers: Peers) -> None:
        self._server = server
        self._peers = peers

    async def enter(self, sid: str, room: str) -> None:
        try:
            await self._server.enter_room(sid, room)
        except (KeyError, ValueError) as error:  # python-socketio knows the socket no more
            raise Gone from error

    async def leave(self, sid: str, room: str) -> None:
        await self._server.leave_room(sid, room)

    async def send(self, sid: str, event: str, payload: Mapping[str, Any]) -> None:
        await self._server.emit(event, dict(payload), to=sid)
        await self._server.until_writable(sid)

    async def drop(self, sid: str) -> None:
        await self._server.drop(sid)

    async def tell(self, room: str, event: str, payload: Mapping[str, Any]) -> None:
        await self._server.emit(event, dict(payload), room=room)

    async def tell_everywhere(self, room: str, event: str, payload: Mapping[str, Any]) -> None:
        await self.tell(room, event, payload)
        self._peers.tell(room, event, payload)


class TokenKeeper:
    """Checks tokens, with the state of auth read on a thread: at start until it works, then on a timer.

    `hand_over(function, *args)` runs `function(*args)` on the event loop.
    """

    def __init__(self, connection: kombu.Connection, refresh_seconds: float, hand_over: HandOver) -> None:
        self.running = False
        self._verifier = TokenVerifier()
        self._connection = connection
        self._refresh_seconds = refresh_seconds
        self._hand_over = hand_over
        self._due = threading.Event()
        self._stopping = False
        self._reading_works: bool | None = None
        self._settled = asyncio.Event()  # cleared while a client waits for a reading
        self._allowance = ReadingAllowance()

    @property
    def loaded(self) -> bool:
        """Whether tokens can be checked."""
        return self._verifier.loaded

    async def identify(self, token: str) -> Identity:
        """Whom `token` speaks for. A key not known yet may be new, so the state is read again for it.

        Raises Unauthenticated, and ServiceUnavailable until the first reading.
        """
        if self._verifier.loaded and self._verifier.names_unknown_key(token):
            await self._read_for_a_client()
        return self._verifier.verify(token)

    def is_live(self, identity: Identity) -> bool:
        return self._verifier.is_live(identity)

    def ending(self, identity: Identity) -> Ending | None:
        return self._verifier.ending(identity)

    def revoke(self, session: str, expires_at: int) -> None:
        self._verifier.revoke(session, expires_at)

    def follow(self, change: UserUpdated) -> None:
        self._verifier.follow(change)

    def named(self, identity: Identity) -> Identity:
        return self._verifier.named(identity)

    def start(self) -> None:
        self.running = True
        spawn(self._run)

    def stop(self) -> None:
        """Ask the thread to end; `running` turns false when it has."""
        self._stopping = True
        self._due.set()

    def refresh(self) -> None:
        """Read the state soon. May be called on any thread."""
        self._due.set()

    async def _read_for_a_client(self) -> None:
        if self._allowance.take():
            self._settled.clear()
            self.refresh()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._settled.wait(), VERIFICATION_SECONDS)

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._due.clear()
                try:
                    verification = self._read()
                except Exception as error:  # no failure of auth or the broker may end the refreshing
                    self._note(error)
                    self._hand_over(self._settled.set)
                    self._due.wait(READ_AGAIN_SECONDS)
                else:
                    self._note(None)
                    self._hand_over(self._load, verification)
                    self._due.wait(self._refresh_seconds)
        finally:
            self.running = False

    def _read(self) -> Mapping[str, Any]:
        with self._connection.clone() as opened:
            verification = call(opened, "auth.verification", seconds=VERIFICATION_SECONDS)
        TokenVerifier().load(verification)  # what cannot be loaded counts as a reading that failed
        return verification  # type: ignore[no-any-return, unused-ignore]

    def _load(self, verification: Mapping[str, Any]) -> None:
        self._verifier.load(verification)
        self._settled.set()

    def _note(self, error: Exception | None) -> None:
        """Log the first reading, and then only what changes."""
        works = error is None
        if works != self._reading_works:
            if works:
                _log.info("tokens can be checked")
            else:
                _log.warning("auth's keys cannot be read (%s); trying until they can", type(error).__name__)
        self._reading_works = works
