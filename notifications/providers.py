"""What the handlers need of the outside: the sockets' rooms, the state of tokens.

The broker's client blocks, so it has a thread. That only ever hands results to the event loop
(`call_soon_threadsafe`); all state is read and changed on the loop.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import kombu
from nameko.exceptions import MethodNotFound

from broker.errors import ServiceUnavailable
from broker.hints import PAUSE_SECONDS, READING_PAUSE_SECONDS, Hints, Question
from broker.rpc_client import BrokerBlocked, call
from broker.tokens import Confirmation, Ending, Identity, ReadingAllowance, TokenVerifier
from notifications.handlers import Gone
from notifications.peers import Peers
from notifications.sockets import SocketServer
from notifications.threads import spawn

_log = logging.getLogger(__name__)

READ_AGAIN_SECONDS = 1.0  # after a reading of the token state that failed
VERIFICATION_SECONDS = 2.0
MOST_LATE_READINGS = 3  # as many times the pause between two readings none has gone well: that is told

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
    """Checks tokens, with the state of auth read on a thread: at start until it works, then on a timer, and
    what was announced asked for in between.

    `hand_over(function, *args)` runs `function(*args)` on the event loop, where `confirmed` is called with
    each answer about what was announced.
    """

    def __init__(
        self,
        connection: kombu.Connection,
        refresh_seconds: float,
        hand_over: HandOver,
        confirmed: Callable[[Confirmation], object],
    ) -> None:
        self.running = False
        self._verifier = TokenVerifier()
        self._hints = Hints()
        self._connection = connection
        self._held: Any = None
        self._refresh_seconds = refresh_seconds
        self._hand_over = hand_over
        self._confirmed = confirmed
        self._due = threading.Event()
        self._next_reading = 0.0
        self._wanted = False  # a reading, by somebody who may have come while one was under way
        self._stopping = False
        self._reading_works: bool | None = None
        self._is_blocked = False  # the broker, when it was last asked
        self._read_at = time.monotonic()  # when a reading last went well, or when waiting for one began
        self._settled = asyncio.Event()  # cleared while a client waits for a reading
        self._allowance = ReadingAllowance()

    def why_not_ready(self) -> str | None:
        """Why tokens cannot be checked by what auth says now."""
        if self._is_blocked:
            return "The broker takes nothing for now"
        if not self._verifier.loaded:
            return "Sign-in cannot be checked yet"
        late = MOST_LATE_READINGS * self._refresh_seconds + VERIFICATION_SECONDS
        if time.monotonic() - self._read_at > late:
            return "What auth says of sign-ins has not been read for too long"
        return None

    def now(self) -> float | None:
        """Seconds since 1970, by the clock that auth's readings tell; None until the first."""
        return self._verifier.now() if self._verifier.loaded else None

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

    def heard_of_session(self, session: str) -> None:
        self._hints.of_session(session)
        self._due.set()

    def heard_of_user(self, user_id: int) -> None:
        self._hints.of_user(user_id)
        self._due.set()

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
        self._wanted = True
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
                if self._wanted or time.monotonic() >= self._next_reading:
                    self._read()
                elif self._hints.are_too_many:
                    time.sleep(READING_PAUSE_SECONDS)
                    self._read()
                elif (question := self._hints.take()) is not None:
                    self._ask(question)
                    time.sleep(PAUSE_SECONDS)
                    continue  # there may be more
                self._due.wait(max(self._next_reading - time.monotonic(), 0.0))
        finally:
            self.running = False
            self._let_go()

    def _read(self) -> None:
        self._hints.forget()
        self._wanted = False
        self._next_reading = time.monotonic() + READ_AGAIN_SECONDS
        try:
            verification = self._call("auth.verification")
            TokenVerifier().load(verification)  # what cannot be loaded counts as a reading that failed
        except Exception as error:  # no failure of auth or the broker may end the refreshing
            self._note(error)
            self._hand_over(self._settled.set)
        else:
            self._note(None)
            self._read_at = time.monotonic()
            self._next_reading = self._read_at + self._refresh_seconds
            self._hand_over(self._load, verification)

    def _ask(self, question: Question) -> None:
        try:
            confirmation = Confirmation.of(self._call("auth.confirm", question.users, question.sessions))
        except MethodNotFound:  # auth is of the release before
            self._read()
        except Exception as error:  # the next reading has the answer
            self._note(error)
            self._next_reading = min(self._next_reading, time.monotonic() + READ_AGAIN_SECONDS)
        else:
            self._hand_over(self._confirm, confirmation)

    def _call(self, method: str, *args: object) -> Any:
        """Over a connection that is held, as opening one is most of a question's cost; over a fresh one where
        that has been lost meanwhile.
        """
        held = self._held is not None
        if self._held is None:
            # No heartbeat: between two questions nobody would send one.
            self._held = self._connection.clone(heartbeat=0)
        try:
            return call(self._held, method, *args, seconds=VERIFICATION_SECONDS)
        except MethodNotFound:
            raise
        except Exception as error:
            self._let_go()
            if held and isinstance(error, ServiceUnavailable):
                return self._call(method, *args)
            raise

    def _let_go(self) -> None:
        """Without a word: a frozen broker would not answer a goodbye."""
        with suppress(AttributeError):  # one that was never opened has nothing to drop
            self._held.collect()
        self._held = None

    def _load(self, verification: Mapping[str, Any]) -> None:
        self._verifier.load(verification)
        self._settled.set()

    def _confirm(self, confirmation: Confirmation) -> None:
        self._verifier.confirm(confirmation)
        self._confirmed(confirmation)

    def _note(self, error: Exception | None) -> None:
        """Log the first reading, and then only what changes."""
        works = error is None
        self._is_blocked = isinstance(error, BrokerBlocked)
        if works != self._reading_works:
            if works:
                _log.info("tokens can be checked")
            else:
                _log.warning("auth's keys cannot be read (%s); trying until they can", type(error).__name__)
        self._reading_works = works
