"""One client's WebSocket, as python-engineio drives it, with our limits."""

import asyncio
import logging
import math
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web
from engineio.async_drivers.aiohttp import WebSocket as LibraryWebSocket

from notifications.limits import TOO_MUCH, Backlog, Limits, Outbox, Pace, Share

_log = logging.getLogger(__name__)

PROTOCOL_ERROR = WSCloseCode.PROTOCOL_ERROR
# What clients may send, by Engine.IO's packet types: first while they upgrade from long-polling, then always.
PROBE, UPGRADE = "2probe", "5"
UPGRADING = (PROBE, UPGRADE)
CLOSE, PONG, MESSAGE = "1", "3", "4"
SOCKETIO_TYPES = "0123456"
CLOSE_SECONDS = 1.0  # for a client to answer a close frame
PAUSE_BYTES = 16 * 1024  # with more in its buffer a client that is being replayed to is waited for
YIELD_AFTER = 16  # writes in a row to one client


class WebSocket(LibraryWebSocket):
    """Reads and writes for one Engine.IO session.

    `handler` is the bound method of python-engineio's socket that drives it, as the library passes it in.
    """

    def __init__(self, handler: Any, server: Any) -> None:
        super().__init__(handler, server)
        self._session = handler.__self__
        self._limits: Limits = server.limits
        self._outbox: Outbox = self._session.queue
        self._pace = Pace(self._limits.message_rate)
        self._share: Share = server.share_of(self._session.sid)
        self._in_a_row = 0
        self._takes_frames = False
        self._kept: list[bytes] = []

    async def __call__(self, environ: Mapping[str, Any]) -> Any:
        request: web.Request = environ["aiohttp.request"]
        self._sock = web.WebSocketResponse(
            max_msg_size=self._limits.frame_bytes,
            compress=self.server.deflate,
            autoping=False,
            timeout=CLOSE_SECONDS,
        )
        try:
            self._writer = await self._sock.prepare(request)
            self._transport: asyncio.Transport = request.transport  # type: ignore[assignment]
            self._transport.set_write_buffer_limits(high=PAUSE_BYTES)
            self._backlog = Backlog(self._transport, self._limits)
            # One that comes from long-polling takes frames once it has said so.
            self._takes_frames = self._can_take_frames() and not self._session.connected
            self.environ = environ
            self.server.websockets[self._session.sid] = self
            try:
                await self.handler(self)
            finally:
                self._share.forget(self._backlog)
        except (OSError, ValueError) as error:
            _log.debug("a socket was closed: %s", error)
        finally:
            await self._leave()
        return self._sock

    async def _leave(self) -> None:
        # What aiohttp remembers of the end would keep all of this alive, in a cycle, until a full collection.
        error = self._sock.exception()
        while error is not None:
            error.__traceback__ = None
            error = error.__context__
        # Whatever the library made of the end: no ghost stays behind, in no room.
        if self.server.websockets.get(self._session.sid) is self:
            del self.server.websockets[self._session.sid]
        if self._session.connected and not self._session.upgraded:
            self._session.upgrading = False  # an attempt that failed: long-polling goes on
        elif not self._session.closed:
            await self._session.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_ERROR)

    def belongs_to(self, share: Share) -> None:
        """From now on this client's messages, and what waits for it, count there."""
        self._share.forget(self._backlog)
        self._share = share

    def take(self, frame: bytes) -> int:
        """Keep a finished frame for the next `flush`: see `notifications.fanout.Direct`."""
        if not (self._takes_frames and self._outbox.is_sent):
            return 0
        self._kept.append(frame)
        return len(self._kept)

    def flush(self) -> None:
        """Write what `take` has kept, unless too much waits for the client already: then drop it."""
        frames, self._kept = self._kept, []
        if not frames or self._transport.is_closing():
            return
        if not self._backlog.admits(frames, self._share):
            self.abort("it takes too little of what it is sent")
        elif len(frames) == 1:
            self._transport.write(frames[0])
        else:
            self._transport.writelines(frames)

    async def until_writable(self) -> None:
        """Wait while the client has more to take than a few frames."""
        self._in_a_row += 1
        if self._in_a_row >= YIELD_AFTER:
            self._in_a_row = 0
            await asyncio.sleep(0)
        with suppress(ConnectionError):
            await self._outbox.until_shorter(YIELD_AFTER, PAUSE_BYTES)
            await self._writer.drain()

    async def send(self, message: str | bytes) -> None:
        self._before_the_library_writes(message.encode() if isinstance(message, str) else message)
        await super().send(message)

    async def close(self) -> None:
        self.flush()
        if self._pace.is_exceeded or self._share.pace.is_exceeded:
            # aiohttp would wait for the answer to its close frame, and meanwhile read all of a flood.
            self.hang_up(TOO_MUCH, WSCloseCode.POLICY_VIOLATION)
        await super().close()

    async def wait(self) -> str | None:
        """The client's next packet, not faster than its rate; None once there will be no more.

        (For an end the library would take OSError as well, but keeps it with its traceback in a cycle.)
        """
        while True:
            message = await self._sock.receive()
            seconds = max(self._pace.take(), self._share.pace.take())
            if seconds > 0 and message.type in _SENT_BY_CLIENTS:
                if math.isinf(seconds):
                    self.hang_up(TOO_MUCH, WSCloseCode.POLICY_VIOLATION)
                    return None
                await asyncio.sleep(seconds)
            match message.type:
                case WSMsgType.TEXT:
                    if self._is_expected(message.data):
                        return str(message.data)
                    self.hang_up("that is no packet of Engine.IO")
                    return None
                case WSMsgType.BINARY:
                    self.hang_up("binary data is not taken", WSCloseCode.UNSUPPORTED_DATA)
                    return None
                case WSMsgType.PING:
                    self._before_the_library_writes(message.data)
                    await self._sock.pong(message.data)
                case WSMsgType.PONG:
                    pass
                case _:
                    return None

    def _is_expected(self, packet: str) -> bool:
        if not self._session.upgraded:
            self._takes_frames = packet == UPGRADE and self._can_take_frames()
            return packet in UPGRADING
        match packet[:1]:
            case kind if kind == MESSAGE:
                return len(packet) > 1 and packet[1] in SOCKETIO_TYPES
            case kind if kind == PONG:
                return len(packet) == 1
            case kind:
                return kind == CLOSE

    def _can_take_frames(self) -> bool:
        # A compressed frame depends on those before it: it cannot be the same for all.
        return not self._sock.compress

    def _before_the_library_writes(self, message: bytes) -> None:
        self.flush()  # nothing overtakes
        if not self._backlog.admits([message], self._share):
            self.abort("it takes too little of what it is sent")
            raise ConnectionResetError("the client is too slow")

    def hang_up(self, reason: str, code: int = PROTOCOL_ERROR) -> None:
        """Tell the client why, by a close frame, and close the connection without waiting for an answer."""
        if self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size():
            self._transport.abort()  # it does not read, so it would not read this either
            return
        body = struct.pack("!H", code) + reason.encode()
        self._transport.write(struct.pack("!BB", 0x80 | WSMsgType.CLOSE, len(body)) + body)
        self._transport.close()

    def abort(self, reason: str) -> None:
        """Drop the connection and all that waits for it."""
        _log.debug("a socket was dropped: %s", reason)
        self._transport.abort()


_SENT_BY_CLIENTS = (WSMsgType.TEXT, WSMsgType.PING, WSMsgType.PONG)
