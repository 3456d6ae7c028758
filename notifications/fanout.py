"""Broadcasts that are encoded and framed once: the same bytes go to every WebSocket of a room.

python-socketio encodes a broadcast once too, but gives every client a task, a place in a queue, a wake-up of
its writer and a frame of its own: nine tenths of what a delivery costs. Here the finished frame goes to the
client's transport; what is left is one call of the kernel for each client, and frames that come within one
turn of the event loop share it. Whatever is not a plain broadcast to a WebSocket goes the library's own way:
events that want an acknowledgement, binary data, long-polling, compression, and a client to whom the library
is writing at the moment, so that nothing overtakes.

The frames are those of RFC 6455, section 5.2: one unmasked, final text frame.
"""

import asyncio
import struct
from typing import Any, Protocol

from engineio import packet as engineio_packet
from socketio import AsyncManager
from socketio import packet as socketio_packet

FINAL_TEXT = 0x81
TWO_BYTE_LENGTH, EIGHT_BYTE_LENGTH = 126, 127


class Direct(Protocol):
    """A WebSocket that takes finished frames."""

    def take(self, frame: bytes) -> int:
        """Keep a frame for the next `flush`; how many it keeps now. 0: the library must send this one."""

    def flush(self) -> None:
        """Write the frames that it keeps."""


class FanOut(AsyncManager):
    """python-socketio's manager of rooms, with a shorter way for broadcasts.

    `websockets` are those that take frames, by Engine.IO session.
    """

    def __init__(self, websockets: dict[str, Direct]) -> None:
        super().__init__()
        self._websockets = websockets
        self._kept: list[Direct] = []
        self._rooms_of: dict[tuple[str, str], set[Any]] = {}  # by namespace and client

    async def emit(  # noqa: PLR0913, PLR0917 -- the library's own signature
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        **kwargs: Any,
    ) -> None:
        """Send an event to a client, a room, or everybody, as python-socketio does."""
        room = to or room
        participants = list(self.get_participants(namespace, room))
        if not participants:
            return
        text = None if callback else self._encoded(event, data, namespace)
        if not isinstance(text, str):
            await super().emit(event, data, namespace, room, skip_sid, callback, **kwargs)
            return
        if skip_sid:
            skipped = skip_sid if isinstance(skip_sid, list) else [skip_sid]
            participants = [each for each in participants if each[0] not in skipped]
        packet = engineio_packet.Packet(engineio_packet.MESSAGE, text)
        frame = text_frame(packet.encode())
        websockets = self._websockets
        for _, session in participants:
            websocket = websockets.get(session)
            if websocket is None or not (kept := websocket.take(frame)):
                await self.server._send_eio_packet(session, packet)
            elif kept == 1:
                self._flush_soon(websocket)

    def _flush_soon(self, websocket: Direct) -> None:
        if not self._kept:
            asyncio.get_running_loop().call_soon(self._flush)
        self._kept.append(websocket)

    def _flush(self) -> None:
        kept, self._kept = self._kept, []
        for websocket in kept:
            websocket.flush()

    # The library looks through every room of the server, and each client is one, whenever a client leaves.

    def basic_enter_room(self, sid: str, namespace: str, room: Any, eio_sid: str | None = None) -> None:
        super().basic_enter_room(sid, namespace, room, eio_sid)
        self._rooms_of.setdefault((namespace, sid), set()).add(room)

    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None:
        super().basic_leave_room(sid, namespace, room)
        if (rooms := self._rooms_of.get((namespace, sid))) is not None:
            rooms.discard(room)

    def basic_disconnect(self, sid: str, namespace: str, **_options: Any) -> None:
        for room in self._rooms_of.pop((namespace, sid), ()):
            self.basic_leave_room(sid, namespace, room)
        self.callbacks.pop(sid, None)
        for pending in (self.pending_connect, self.pending_disconnect):
            if sid in (waiting := pending.get(namespace, ())):
                waiting.remove(sid)
                if not waiting:
                    del pending[namespace]

    def _encoded(self, event: str, data: Any, namespace: str) -> Any:
        """The Socket.IO packet as a text, or something else where a part of it is binary."""
        arguments = list(data) if isinstance(data, tuple) else [] if data is None else [data]
        packet = self.server.packet_class(
            socketio_packet.EVENT, namespace=namespace, data=[event, *arguments]
        )
        return packet.encode()


def text_frame(text: str) -> bytes:
    """`text` as a server sends it over a WebSocket, uncompressed."""
    payload = text.encode()
    length = len(payload)
    if length < TWO_BYTE_LENGTH:
        return struct.pack("!BB", FINAL_TEXT, length) + payload
    if length < 1 << 16:
        return struct.pack("!BBH", FINAL_TEXT, TWO_BYTE_LENGTH, length) + payload
    return struct.pack("!BBQ", FINAL_TEXT, EIGHT_BYTE_LENGTH, length) + payload
