"""The notifier: its entry points (Socket.IO events, the broker's events, health checks) and its life."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import socketio
from aiohttp import web

from broker import config
from broker.doors import files
from broker.errors import PlatformError
from broker.history import History
from broker.readiness import LOOK_SECONDS, Check, Trouble, TroubleLog, troubles
from broker.rpc_client import bounded_connection
from broker.tokens import Confirmation, Identity
from notifications import handlers, presence
from notifications.clients import Clients
from notifications.deliveries import Deliveries, Recipients
from notifications.domain import Refusal
from notifications.endings import Endings
from notifications.feed import Feed
from notifications.front_door import front_door, in_one_form, serve
from notifications.handlers import Answer, Client, Gone, Rooms, Tokens
from notifications.history import History as RoomHistory
from notifications.peers import GONE, Peers
from notifications.providers import SocketRooms, TokenKeeper
from notifications.review_histories import MoviesWord, ReviewHistories
from notifications.review_signatures import ReviewSignatures
from notifications.sockets import ROOT, socket_server

_log = logging.getLogger(__name__)

START_SECONDS = 10.0  # how long a start waits for the broker before it goes on without
CLOSE_SECONDS = 1.0  # how long a stop waits for requests at work
THREAD_SECONDS = 3.0  # how long a stop waits for the threads
HISTORY_BYTES = 64 * 2**20  # of memory, some 40,000 reviews of ordinary length: what the stream holds
RETRY_SECONDS = 1  # what clients are told to wait while the history is being read

UseCase = Callable[..., Awaitable[Answer]]
USE_CASES: dict[str, UseCase] = {
    "leave_notification": handlers.leave,
    "new_review": handlers.announce_review,
    "message": handlers.send_message,
}


class Notifier:
    """The whole notifier, in whichever event loop awaits `start()`."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """`settings` is what config.yaml says. Raises ConfigurationError."""
        self._settings = config.settings(settings)
        self._connection = _connection(self._settings)
        self._server = socket_server(self._settings)
        # No heartbeat: while nobody says a word, nobody would send one.
        self._peers = Peers(self._connection.clone(heartbeat=0))
        self._rooms = SocketRooms(self._server, self._peers)
        self._clients = Clients(
            self._sids_in,
            self._settings.NOTIFIER_USER_CONNECTIONS,
            named=self._named,
        )
        self._alone = self._settings.in_memory
        self._presence = presence.Presence(self._peers, self._clients.in_room, alone=self._alone)
        self._clock: Callable[[], float | None] = lambda: None
        self._history = RoomHistory(
            self._settings.NOTIFIER_HISTORY_EVENTS,
            self._settings.NOTIFIER_HISTORY_HOURS * 3600,
            HISTORY_BYTES,
            clock=self._now,
        )
        self._use_cases: dict[str, UseCase] = {
            "join_notification": partial(
                handlers.join, past=self._history, most_rooms=self._settings.NOTIFIER_ROOMS
            ),
            "room_presence": self._room_presence,
            **USE_CASES,
        }
        self._door = front_door(self._settings, settings.get(files.DOORS, 1))
        self._runner: web.AppRunner | None = None
        self._stopping = False

    def _now(self) -> float | None:
        """By the platform's clock; None while that is not known."""
        return self._clock()

    async def start(self) -> None:
        """Listen, then hear the broker's events, those of the last hours first: returns when all of it works,
        or after START_SECONDS without a broker, which is then waited for in the background.

        Raises ConfigurationError where it cannot listen; nothing is left running then.
        """
        loop = asyncio.get_running_loop()
        hand_over = loop.call_soon_threadsafe
        self._hearing = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._tokens = TokenKeeper(
            self._connection, self._settings.REVOCATION_REFRESH, hand_over, self._confirmed
        )
        self._histories = ReviewHistories(MoviesWord(self._connection, hand_over), self._in_another_history)
        self._clock = self._tokens.now
        recipients = Recipients(
            rooms=self._rooms,
            history=self._history,
            tokens=self._tokens,
            presence=self._presence,
            peers=self._peers,
            signatures=ReviewSignatures(self._connection, hand_over),
            histories=self._histories,
        )
        self._deliveries = deliveries = Deliveries(recipients, self._caught_up, self._server.drop_all)
        self._feed = Feed(
            self._connection,
            self._settings.NOTIFIER_HISTORY_HOURS * 3600,
            receive=lambda heard: hand_over(deliveries.take, heard),
            waiting=deliveries.waiting,
            changed=lambda hears: hand_over(self._hearing_changed, hears),
        )
        self._endings = Endings(self._server, self._clients, self._tokens)
        # What keeps it from being ready, asked in this order.
        self._checks: list[Check] = [
            lambda: "The notifier is stopping" if self._stopping else None,
            lambda: self._feed.trouble,
            self._why_not_hearing,
            self._tokens.why_not_ready,
        ]
        self._open_entrances()
        self._runner = await self._listen()
        self._pushing = asyncio.gather(deliveries.run(), self._histories.keep_looking())
        self._tokens.start()
        self._feed.start()
        self._peers.start()
        self._presence.start()
        self._endings.start()
        self._telling = asyncio.create_task(self._tell_of_troubles())
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await self._hearing.wait()
                await self._caught_up.wait()

    def leave(self) -> None:
        """Say that it is stopping, and serve as before: `stop` does the rest, DRAIN_SECONDS later."""
        if not self._stopping:
            self._stopping, self._left_at = True, time.monotonic()

    async def stop(self) -> None:
        """Leave; then stop listening and hearing, close every socket, and end the threads."""
        self.leave()
        if self._runner is None:
            return
        await asyncio.sleep(self._left_at + self._settings.DRAIN_SECONDS - time.monotonic())
        # First of all: a client whose socket is closed connects again at once, and must not come back here.
        self._door.close()
        self._feed.stop()
        self._tokens.stop()
        self._endings.stop()
        self._presence.stop()
        self._peers.stop(None if self._alone else GONE)
        await self._server.drop_all()
        await self._server.shutdown()
        await self._runner.cleanup()
        self._runner = None
        deadline = asyncio.get_running_loop().time() + THREAD_SECONDS
        while self._feed.running or self._tokens.running or self._peers.running:
            if asyncio.get_running_loop().time() > deadline:
                _log.warning("a thread is still waiting for the broker")
                break
            await asyncio.sleep(0.02)
        self._telling.cancel()
        self._pushing.cancel()
        with suppress(asyncio.CancelledError):
            await self._pushing

    async def _listen(self) -> web.AppRunner:
        app = web.Application(middlewares=[in_one_form(self._door), self._let_nobody_in_too_early])
        app.add_routes([web.get("/health/live", self._live), web.get("/health/ready", self._ready)])
        self._server.attach(app)
        self._door.bind("NOTIFIER", self._settings.NOTIFIER_HOST, self._settings.NOTIFIER_PORT)
        runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=CLOSE_SECONDS)
        await runner.setup()
        serve(self._door, runner)
        return runner

    @web.middleware
    async def _let_nobody_in_too_early(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """While it is not known what the rooms were told, nobody can be told what they missed."""
        if request.path.startswith("/socket.io/") and not self._caught_up.is_set():
            return web.json_response(
                {"message": "The notifier does not know yet what the rooms were told; try again soon"},
                status=503,
                headers={"Retry-After": str(RETRY_SECONDS)},
            )
        return await handler(request)

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "OK"})

    async def _ready(self, _: web.Request) -> web.Response:
        if (trouble := self._trouble()) is not None:
            return web.json_response({"message": trouble.sentence}, status=503)
        return web.json_response({"status": "OK"})

    def _trouble(self) -> Trouble | None:
        """Why it is not ready. Asks nobody: it is all known."""
        return next(troubles(self._checks), None)

    async def _tell_of_troubles(self) -> None:
        said = TroubleLog(_log, "the notifier")
        started = time.monotonic()
        while self._trouble() is not None and time.monotonic() - started < START_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)  # a start takes its time, and is no trouble
        while not self._stopping:
            said.tell(self._trouble())
            await asyncio.sleep(LOOK_SECONDS)

    def _why_not_hearing(self) -> str | None:
        if not self._hearing.is_set():
            return "The broker is not connected"
        return None if self._caught_up.is_set() else "What the rooms were told is still being read"

    def _open_entrances(self) -> None:
        self._server.on("connect", self._connect)
        self._server.on("disconnect", self._disconnect)
        self._server.on("*", self._unknown)
        for event, use_case in self._use_cases.items():
            self._server.on(event, self._entrance(event, use_case))

    async def _connect(self, sid: str, environ: Mapping[str, Any], auth: object) -> None:  # noqa: ARG002
        # `auth` has no default: python-socketio calls a handler that raises TypeError a second time without.
        if self._clients.of(sid) is not None:
            return  # a client sent an event that it called "connect"
        if not self._caught_up.is_set():  # it asked before the history began anew
            raise socketio.exceptions.ConnectionRefusedError("Try again soon")
        try:
            client = await handlers.connect(sid, auth, self._tokens)
            if not self._is_open(sid):  # it went while its token was checked: nobody would tell us again
                raise Refusal("The connection is closed", "unavailable")
            self._clients.add(client)
            if client.identity is not None:
                self._server.belongs_to(sid, client.identity.user_id)
        except PlatformError as error:
            raise socketio.exceptions.ConnectionRefusedError(error.message) from error
        except Refusal as refusal:
            raise socketio.exceptions.ConnectionRefusedError(refusal.sentence) from refusal

    async def _disconnect(self, sid: str, *_: object) -> Answer | None:
        if self._server.manager.is_connected(sid, ROOT):
            return await self._unknown("disconnect", sid)  # a client sent an event that it called so
        self._clients.remove(sid)
        return None

    def _is_open(self, sid: str) -> bool:
        """Whether the connection of a Socket.IO client is."""
        socket = self._server.eio.sockets.get(self._server.manager.eio_sid_from_sid(sid, ROOT))
        return socket is not None and not socket.closed

    def _named(self, identity: Identity) -> Identity:
        return self._tokens.named(identity)

    def _sids_in(self, room: str) -> list[str]:
        return [sid for sid, _ in self._server.manager.get_participants(ROOT, room)]

    async def _room_presence(self, _client: Client, data: object, _tokens: Tokens, _rooms: Rooms) -> Answer:
        return await handlers.room_presence(data, self._presence)

    def _entrance(self, event: str, use_case: UseCase) -> Callable[..., Awaitable[Answer]]:
        async def answer(sid: str, *data: object) -> Answer:
            try:
                client = self._clients.of(sid)
                if client is None:
                    return _failure("The connection is closed", "unavailable")
                return await use_case(client, data[0] if len(data) == 1 else None, self._tokens, self._rooms)
            except Refusal as refusal:
                return _failure(refusal.sentence, refusal.code)
            except Gone:
                return _failure("The connection is closed", "unavailable")
            except Exception:
                _log.exception("%s failed", event)
                return _failure("Something went wrong; try again soon", "unavailable")

        return answer

    async def _unknown(self, _event: str, _sid: str, *_data: object) -> Answer:
        return _failure(f"There is no such event: send {', '.join(self._use_cases)}", "unknown_event")

    def _hearing_changed(self, hears: bool) -> None:
        if hears:
            self._hearing.set()
            self._tokens.refresh()  # revocations may have been missed
        else:
            self._hearing.clear()
        self._presence.hearing_changed(hears)

    async def _in_another_history(self, history: History, was_known: bool) -> None:
        await self._deliveries.in_another_history(history.began_at.timestamp(), was_known=was_known)

    def _confirmed(self, confirmation: Confirmation) -> None:
        for session in confirmation.sessions:
            self._endings.check(self._clients.of_user(session.user_id))


def _failure(sentence: str, code: str) -> Answer:
    return {"error": sentence, "code": code}


def _connection(settings: config.Settings) -> Any:
    """The broker's connection, unopened. Raises ConfigurationError."""
    try:
        return bounded_connection(settings.AMQP_URI, settings.TRANSPORT_OPTIONS, settings.HEARTBEAT)
    except Exception as error:  # kombu raises a different one for each way to be wrong
        raise config.ConfigurationError("setting AMQP_URI: is not the URL of a broker") from error
