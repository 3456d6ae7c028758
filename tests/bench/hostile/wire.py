"""A WebSocket that can say anything, right or wrong."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
from typing import Any, Self

CONTINUATION, TEXT, BINARY, PING = 0, 1, 2, 9
FINAL = 0x80
MASKED = 0x80
NO_MASK = bytes(4)  # a mask that changes nothing
REQUEST = (
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)
HANDSHAKE_SECONDS = 20
READ_BYTES = 65536


class Refused(ConnectionError):
    """The server did not let the client get to where it wanted to be."""


def frame(body: bytes, opcode: int = TEXT, first: int = FINAL) -> bytes:
    """A client's frame; `first`: the bits beside the opcode."""
    return header(len(body), opcode, first) + NO_MASK + body


def header(size: int, opcode: int = TEXT, first: int = FINAL) -> bytes:
    """Of a frame that says to be `size` bytes long, up to the mask."""
    if size < 126:
        return bytes([first | opcode, MASKED | size])
    if size < 2**16:
        return bytes([first | opcode, MASKED | 126]) + size.to_bytes(2, "big")
    return bytes([first | opcode, MASKED | 127]) + size.to_bytes(8, "big")


def packet(text: str) -> bytes:
    """A frame with an Engine.IO packet."""
    return frame(text.encode())


def event(name: str, number: int | str = "", **data: Any) -> bytes:
    """A frame with a Socket.IO event; with a number, it asks for an acknowledgement."""
    return packet(f"42{number}{json.dumps([name, data])}")


class Wire:
    """A connection to 127.0.0.1, opened by `open`. Whatever goes wrong with it is an OSError."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._unread = b""
        self.local_port: int = connected.getsockname()[1]

    @classmethod
    async def open(cls, port: int, window: int | None = None, source: str = "127.0.0.1") -> Self:
        """`window` bounds the bytes that wait to be read here; `source` is the address that it comes from."""
        connecting = socket.socket()
        connecting.setblocking(False)
        if window:
            connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        try:
            connecting.bind((source, 0))
            await asyncio.get_running_loop().sock_connect(connecting, ("127.0.0.1", port))
        except BaseException:
            connecting.close()
            raise
        return cls(connecting)

    async def upgrade(self) -> None:
        port = self._socket.getpeername()[1]
        await self.send(REQUEST.format(port=port).encode())
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            while b"\r\n\r\n" not in self._unread:
                self._unread += await self._read()
        answer, _, self._unread = self._unread.partition(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 101"):
            raise Refused(answer.decode(errors="replace"))
        await self._packet_like("0")

    async def connect(self, token: str | None = None) -> None:
        """The Socket.IO CONNECT."""
        await self.send(packet("40" + (json.dumps({"token": token}) if token else "")))
        await self._packet_like("40")

    async def join(self, room: str, user_id: int | str, **more: Any) -> None:
        await self.send(event("join_notification", 0, user_id=user_id, room_id=room, **more))
        answer = await self._packet_like("430")
        if '"error"' in answer:
            raise Refused(answer)

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def drain(self) -> None:
        """Read, and forget, until the server closes the connection."""
        try:
            while True:
                await self._read()
        except OSError:
            return

    def close(self) -> None:
        self._socket.close()

    async def _packet_like(self, start: str) -> str:
        """The next packet that starts so; those before it are dropped."""
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            while True:
                text = await self._packet()
                if text.startswith(start):
                    return text
                if text.startswith("44"):
                    raise Refused(text)

    async def _packet(self) -> str:
        await self._have(2)
        size, head = self._unread[1], 2
        if size == 126:
            await self._have(4)
            size, head = int.from_bytes(self._unread[2:4], "big"), 4
        elif size == 127:
            await self._have(10)
            size, head = int.from_bytes(self._unread[2:10], "big"), 10
        await self._have(head + size)
        body, self._unread = self._unread[head : head + size], self._unread[head + size :]
        return body.decode(errors="replace")

    async def _have(self, size: int) -> None:
        while len(self._unread) < size:
            self._unread += await self._read()

    async def _read(self) -> bytes:
        data = await self._loop.sock_recv(self._socket, READ_BYTES)
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        return data
