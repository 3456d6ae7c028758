"""The Socket.IO server: python-socketio's, with limits on what a client may send, hold and leave unread.

Every override below is a place where python-socketio or python-engineio has no setting for it.
"""

import asyncio
import json
import logging
import math
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import engineio
import socketio
from aiohttp import web
from engineio.async_drivers import aiohttp as driver
from engineio.payload import Payload
from socketio import packet as socketio_packet

from broker.config import Settings
from broker.doors.clients import client_address
from broker.doors.refusals import ENCODED
from broker.doors.shares import count_down
from broker.validation import is_storable
from notifications.fanout import FanOut
from notifications.limits import TOO_MUCH, Limits, Outbox, Pace, Share, Shares
from notifications.websocket import PROTOCOL_ERROR, SOCKETIO_TYPES, WebSocket

ROOT = "/"  # the only namespace there is
BODY_SECONDS = 10.0  # for a long-polling client's body to arrive
RETRY_SECONDS = 5
POLLING_REFUSED = (
    "Long-polling is refused here: several notifiers run behind a balancer, and the next request may reach "
    'another one. Connect by WebSocket alone (transports: ["websocket"])'
)


class Malformed(Exception):
    """What a client sent is no packet of Socket.IO, or one that is not taken."""


class Json:
    """JSON with letters as they are: escaped, an emoji is twelve bytes instead of four."""

    loads = staticmethod(json.loads)

    @staticmethod
    def dumps(value: Any, **options: Any) -> str:
        text = json.dumps(value, ensure_ascii=False, **options)
        return text if is_storable(text) else json.dumps(value, **options)


class Packet(socketio_packet.Packet):
    """A Socket.IO packet without binary parts."""

    uses_binary_events = False
    json = Json

    def decode(self, encoded_packet: Any) -> int:
        """Raises Malformed."""
        if not isinstance(encoded_packet, str):
            raise Malformed("a packet must be a text")
        try:
            super().decode(encoded_packet)
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise Malformed("the packet cannot be read") from error
        if not self._is_taken():
            raise Malformed("the packet is not one that clients send")
        return 0

    def _is_taken(self) -> bool:
        match self.packet_type:
            case socketio_packet.CONNECT | socketio_packet.DISCONNECT:
                return True
            case socketio_packet.EVENT:
                return isinstance(self.data, list) and bool(self.data) and isinstance(self.data[0], str)
            case socketio_packet.ACK:
                return isinstance(self.data, list) and self.id is not None
        return False


class EngineServer(engineio.AsyncServer):
    """python-engineio's server with limits. `websockets` are the open ones by session."""

    def __init__(self, limits: Limits, *, deflate: bool, polling: bool, **options: Any) -> None:
        super().__init__(**options)
        self.limits = limits
        self._shares = Shares(limits)
        self._session_shares: dict[str, Share] = {}
        self.deflate = deflate
        self.websockets: dict[str, WebSocket] = {}
        self._polling = polling
        self._async: Any = {
            **driver._async,
            "websocket": WebSocket,
            "translate_request": self._translate,
        }
        self._connections: Counter[str] = Counter()  # by address
        self._addresses: dict[str, str] = {}  # by session

    def create_queue(self, *_arguments: Any, **_options: Any) -> Outbox:
        return Outbox()

    async def send_packet(self, sid: str, pkt: Any) -> None:
        """Send a packet the library's way, unless too many wait already."""
        socket = self.sockets.get(sid)
        if socket is not None and not socket.closed:
            waiting = socket.queue.waiting
            if socket.queue.is_longer_than(self.limits.queue_packets, self.limits.queue_bytes) or (
                waiting and not self.share_of(sid).admits(socket.queue, waiting)
            ):
                await self.drop(sid)
                return
            await socket.send(pkt)

    async def drop(self, sid: str) -> None:
        """Close a session without a word: stock clients then connect again by themselves."""
        if (websocket := self.websockets.get(sid)) is not None:
            websocket.abort("its session was dropped")
        await self._end(sid)

    async def hang_up(self, sid: str, reason: str, code: int = PROTOCOL_ERROR) -> None:
        """Close a session at once, and tell a WebSocket why, in a close frame with `code`."""
        if (websocket := self.websockets.get(sid)) is not None:
            websocket.hang_up(reason, code)
        await self._end(sid)

    async def _end(self, sid: str) -> None:
        if (socket := self.sockets.get(sid)) is not None:
            await socket.close(wait=False, abort=True)
            socket.queue.put_nowait(None)  # what the library's writer and polls end on

    async def handle_request(self, request: web.Request) -> Any:
        query = request.query
        if "j" in query:
            return _refusal(400, "JSONP is not spoken here")
        if not self._polling and query.get("transport", "polling") == "polling":
            return _refusal(400, POLLING_REFUSED)
        if "sid" not in query and self._connections[self.address(request)] >= self.limits.address_connections:
            refusal = _refusal(429, f"At most {self.limits.address_connections} connections from one address")
            refusal.headers["Retry-After"] = str(RETRY_SECONDS)
            return refusal
        return await super().handle_request(request)

    def address(self, request: web.Request) -> str:
        """Where a request comes from, past the proxies that are ours."""
        forwarded = request.headers.get("X-Forwarded-For", "")
        return client_address(request.remote or "", forwarded, self.limits.proxies)

    def opened(self, sid: str, environ: Mapping[str, Any]) -> None:
        """Count a session."""
        self._addresses[sid] = address = self.address(environ["aiohttp.request"])
        self._connections[address] += 1
        self._session_shares[sid] = self._shares.of_address(address)

    def share_of(self, sid: str) -> Share:
        """What a session's messages, and what waits for it, count for: while it ends, nobody's."""
        share = self._session_shares.get(sid)
        return share or Share(self.limits.message_rate, self.limits.share_bytes)

    def belongs_to(self, sid: str, user_id: int) -> None:
        """Count a session for a user from now on, and no more for its address."""
        if sid in self._session_shares:
            self._forget_waiting(sid)
            self._session_shares[sid] = share = self._shares.of_user(user_id)
            if (websocket := self.websockets.get(sid)) is not None:
                websocket.belongs_to(share)

    def closed(self, sid: str) -> None:
        """Count it no more."""
        self._forget_waiting(sid)
        self._session_shares.pop(sid, None)
        if (address := self._addresses.pop(sid, None)) is not None:
            count_down(self._connections, address)

    def _forget_waiting(self, sid: str) -> None:
        if (socket := self.sockets.get(sid)) is not None:
            self.share_of(sid).forget(socket.queue)

    async def _translate(self, request: web.Request) -> dict[str, Any]:
        environ: dict[str, Any] = driver.translate_request(request)
        if request.method == "POST":
            body = await self._body(request)
            environ["wsgi.input"] = _Body(body)
            environ["CONTENT_LENGTH"] = str(len(body))
        return environ

    async def _body(self, request: web.Request) -> bytes:
        """A long-polling client's body. Where it is none, closes the session and raises HTTPException."""
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise web.HTTPUnsupportedMediaType(text=ENCODED)
        sid = request.query.get("sid", "")
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await request.content.read(self.limits.frame_bytes + 1)
                while not request.content.at_eof() and len(body) <= self.limits.frame_bytes:
                    body += await request.content.read(self.limits.frame_bytes + 1 - len(body))
        except TimeoutError:
            await self.hang_up(sid, "the body did not arrive")
            raise web.HTTPRequestTimeout(text="The body did not arrive") from None
        if len(body) > self.limits.frame_bytes:
            await self.hang_up(sid, "the body is too large")
            raise web.HTTPRequestEntityTooLarge(self.limits.frame_bytes, len(body))
        if not _is_payload(body):
            await self.hang_up(sid, "that is no payload of Engine.IO")
            raise web.HTTPBadRequest(text="That is no payload of Engine.IO")
        return body


class SocketServer(socketio.AsyncServer):
    """python-socketio's server with limits."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        self._limits = Limits.of(settings)
        self._engine_options: dict[str, Any] = {
            "deflate": settings.NOTIFIER_DEFLATE,
            "polling": not settings.NOTIFIER_BALANCED,
            "max_http_buffer_size": settings.NOTIFIER_FRAME_BYTES,
        }
        self._paces: dict[str, Pace] = {}  # of long-polling clients
        websockets: dict[str, Any] = {}
        super().__init__(
            async_mode="aiohttp",
            # One event of a client after the other: its order is kept, and its handlers cannot pile up.
            async_handlers=False,
            client_manager=FanOut(websockets),
            serializer=Packet,
            **options,
        )
        self.eio.websockets = websockets

    async def until_writable(self, sid: str) -> None:
        """Wait while a client has more to take than a few packets; return at once for one that is gone."""
        session = self.manager.eio_sid_from_sid(sid, ROOT)
        if (websocket := self.eio.websockets.get(session)) is not None:
            await websocket.until_writable()
        elif (socket := self.eio.sockets.get(session)) is not None and not socket.closed:
            limits = self._limits
            await socket.queue.until_shorter(limits.queue_packets // 2, limits.queue_bytes // 8)

    def belongs_to(self, sid: str, user_id: int) -> None:
        """All sockets of a user have one rate, and one share of what may wait."""
        session = self.manager.eio_sid_from_sid(sid, ROOT)
        if session is not None:
            self.eio.belongs_to(session, user_id)

    async def drop(self, sid: str) -> None:
        """Close a client's connection without a word: stock clients then connect again by themselves."""
        if (session := self.manager.eio_sid_from_sid(sid, ROOT)) is not None:
            await self.eio.drop(session)

    async def drop_all(self) -> None:
        """The same for every client."""
        for session in list(self.eio.sockets):
            await self.eio.drop(session)

    def _engineio_server_class(self) -> Any:
        return partial(EngineServer, self._limits, **self._engine_options)

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        await super()._handle_eio_connect(eio_sid, environ)
        self.eio.opened(eio_sid, environ)
        self._paces[eio_sid] = Pace(self._limits.message_rate)
        self._expect_connect(eio_sid)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        self.eio.closed(eio_sid)
        self._paces.pop(eio_sid, None)
        await super()._handle_eio_disconnect(eio_sid, reason)
        socket = self.eio.sockets.get(eio_sid)
        if socket is not None and not socket.upgraded:
            socket.queue.put_nowait(None)  # a poll that waits would wait for the next ping, 25 s at most

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        if eio_sid not in self.eio.websockets and (pace := self._paces.get(eio_sid)) is not None:
            seconds = max(pace.take(), self.eio.share_of(eio_sid).pace.take())
            if math.isinf(seconds):
                await self.eio.hang_up(eio_sid, TOO_MUCH)
                return
            await asyncio.sleep(seconds)
        try:
            await super()._handle_eio_message(eio_sid, data)
        except Malformed as error:
            await self.eio.hang_up(eio_sid, str(error))

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        await super()._handle_connect(eio_sid, namespace, data)
        self._expect_connect(eio_sid)

    async def _handle_disconnect(self, eio_sid: str, namespace: str | None, reason: Any = None) -> None:
        await super()._handle_disconnect(eio_sid, namespace, reason)
        self._expect_connect(eio_sid)

    def _expect_connect(self, eio_sid: str) -> None:
        """Whoever is in no namespace has a while to enter one."""
        if eio_sid in self.environ and self._is_outside(eio_sid):
            loop = asyncio.get_running_loop()
            loop.call_later(self._limits.connect_seconds, self._give_up, eio_sid)

    def _give_up(self, eio_sid: str) -> None:
        if eio_sid in self.environ and self._is_outside(eio_sid):
            self.start_background_task(self.eio.hang_up, eio_sid, "no CONNECT came in time")

    def _is_outside(self, eio_sid: str) -> bool:
        return self.manager.sid_from_eio_sid(eio_sid, ROOT) is None


class _Body:
    """A body that has been read, for python-engineio to read again."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def read(self, _length: int) -> bytes:
        return self._content


def _is_payload(body: bytes) -> bool:
    """Whether a long-polling client may send this: some packets of Engine.IO, all of them text."""
    try:
        packets = body.decode().split("\x1e")
    except UnicodeDecodeError:
        return False
    return 0 < len(packets) <= Payload.max_decode_packets and all(
        packet in ("1", "3") or (packet[:1] == "4" and len(packet) > 1 and packet[1] in SOCKETIO_TYPES)
        for packet in packets
    )


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)


def socket_server(settings: Settings, **options: Any) -> SocketServer:
    """The notifier's Socket.IO server; attach it to an aiohttp application.

    `options` are python-socketio's.
    """
    quiet = logging.getLogger("notifications.sockets.library")
    if quiet.level == logging.NOTSET:
        quiet.setLevel(logging.ERROR)
    return SocketServer(
        settings,
        cors_allowed_origins=_allowed(settings.origins),
        logger=quiet,
        engineio_logger=quiet,
        **options,
    )


def _allowed(origins: list[str]) -> Any:
    """python-socketio's setting for web pages of `origins` and of the notifier's own."""
    if not origins:
        return None
    if "*" in origins:
        return "*"

    def allows(origin: str | None, environ: Mapping[str, Any]) -> bool:
        return origin in origins or origin == f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST')}"

    return allows
