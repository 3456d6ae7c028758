"""What the handlers need of the outside: the sockets' rooms, the broker's events, the state of tokens.

The broker's client blocks, so it has two threads. They only ever hand results to the event loop
(`call_soon_threadsafe`); all state is read and changed on the loop.
"""

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import kombu
import socketio
from kombu.exceptions import KombuError
from kombu.mixins import ConsumerMixin
from pydantic import ValidationError

from broker.events import Envelope, exchange
from broker.rpc_client import call
from broker.tokens import Identity, ReadingAllowance, TokenVerifier
from notifications.peers import ROOM_TOLD, SOURCE, Peers
from notifications.threads import spawn

_log = logging.getLogger(__name__)

EVENTS = {
    "movies": ("review_created", "review_updated", "review_deleted"),
    "auth": ("session_revoked", "user_updated"),
    SOURCE: (ROOM_TOLD,),
}
RECONNECT = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 3.0}  # seconds
AFTER_FAILURE_SECONDS = 1.0
DRAIN_SECONDS = 0.5  # how long a stop can go unnoticed
PREFETCH_MESSAGES = 100
MOST_WAITING = 1000  # events handed over and not yet pushed; the broker keeps the rest
READ_AGAIN_SECONDS = 1.0  # after a reading of the token state that failed
VERIFICATION_SECONDS = 2.0

HandOver = Callable[..., object]


class SocketRooms:
    """The rooms as Socket.IO keeps them."""

    def __init__(self, server: socketio.AsyncServer, peers: Peers) -> None:
        self._server = server
        self._peers = peers

    async def enter(self, sid: str, room: str) -> None:
        await self._server.enter_room(sid, room)

    async def leave(self, sid: str, room: str) -> None:
        await self._server.leave_room(sid, room)

    async def tell(self, room: str, event: str, payload: Mapping[str, Any]) -> None:
        await self._server.emit(event, dict(payload), room=room)

    async def tell_everywhere(self, room: str, event: str, payload: Mapping[str, Any]) -> None:
        await self.tell(room, event, payload)
        self._peers.tell(room, event, payload)


class EventConsumer(ConsumerMixin):
    """Consumes the events on a thread of its own, and connects again for as long as it runs.

    On its thread it calls `receive` with each envelope, after waiting while `waiting()` says that too many
    are not yet worked off, and `changed` with whether it consumes, whenever that changes.
    """

    def __init__(
        self,
        connection: kombu.Connection,
        receive: Callable[[Envelope], object],
        waiting: Callable[[], int],
        changed: Callable[[bool], object],
    ) -> None:
        self.connection = connection
        self.running = False
        self._receive = receive
        self._waiting = waiting
        self._changed = changed
        self._consuming: bool | None = None

    def start(self) -> None:
        self.running = True
        spawn(self.run)

    def stop(self) -> None:
        """Ask the thread to end; `running` turns false when it has."""
        self.should_stop = True

    def run(self) -> None:  # type: ignore[override, unused-ignore]
        try:
            while not self.should_stop:
                try:
                    for _ in self.consume(safety_interval=DRAIN_SECONDS):
                        pass
                except _Stopping:
                    break
                except Exception as error:  # whatever it is, this thread is the only one that hears events
                    self._lost(error)
                    time.sleep(AFTER_FAILURE_SECONDS)
        finally:
            self.running = False

    @contextmanager
    def establish_connection(self) -> Iterator[kombu.Connection]:
        with self.create_connection() as opened:
            opened.ensure_connection(lambda error, _: self._lost(error), callback=self._check, **RECONNECT)
            yield opened

    def get_consumers(self, Consumer: Any, channel: Any) -> list[Any]:  # noqa: ARG002
        # A new name each time: the broker may still hold a lost connection's exclusive queue.
        name = f"notifications-{uuid.uuid4()}"
        bindings = [
            kombu.binding(exchange(source), routing_key=event)
            for source, events in EVENTS.items()
            for event in events
        ]
        self._queue = kombu.Queue(name, bindings, exclusive=True, auto_delete=True, durable=False)
        options = {"accept": ["json"], "prefetch_count": PREFETCH_MESSAGES}
        return [Consumer([self._queue], callbacks=[self._take], **options)]

    def on_consume_ready(self, connection: Any, channel: Any, consumers: Any, **options: Any) -> None:  # noqa: ARG002
        self._consuming = True
        _log.info("hearing events from %s", connection.as_uri())
        self._changed(True)

    def on_consume_end(self, connection: Any, channel: Any) -> None:  # noqa: ARG002
        self._queue(channel).delete()  # memory:// deletes no queue by itself

    def on_decode_error(self, message: kombu.Message, exc: Exception) -> None:
        _log.warning("dropped a message that is not JSON (%s)", type(exc).__name__)
        message.ack()

    def _take(self, body: Any, message: kombu.Message) -> None:
        while self._waiting() > MOST_WAITING and not self.should_stop:
            time.sleep(0.01)
        try:
            self._receive(Envelope.model_validate(body))
        except ValidationError:
            _log.warning("dropped a message that is not an event (%s)", message.delivery_info["routing_key"])
        message.ack()

    def _check(self) -> None:
        if self.should_stop:
            raise _Stopping

    def _lost(self, error: BaseException) -> None:
        expected = isinstance(error, (*self.connection_errors, *self.channel_errors, KombuError, OSError))
        if not expected:
            _log.error("hearing events failed", exc_info=error)
        if self._consuming is not False and not self.should_stop:
            # The cause by its type alone: its text may hold the URI.
            _log.warning("the broker cannot be reached (%s); trying until it can", type(error).__name__)
            self._changed(False)
        self._consuming = False


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

    def revoke(self, session: str, expires_at: int) -> None:
        self._verifier.revoke(session, expires_at)

    def set_role(self, user_id: int, role: str) -> None:
        self._verifier.set_role(user_id, role)

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


class _Stopping(Exception):
    """The thread is to end."""
