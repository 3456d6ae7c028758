"""WebSockets frame by frame, as no well-behaved client sends them, and a Socket.IO server in this loop."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import socketio
from aiohttp import web

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
FINAL = 0x80
DEADLINE_SECONDS = 10.0
WEBSOCKET = "/socket.io/?EIO=4&transport=websocket"
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
}


class Refused(Exception):
    """The handshake was answered with something else than an upgrade."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


@dataclass
class RawSocket:
    """A WebSocket whose frames the test writes and reads by itself."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    headers: dict[str, str] = field(default_factory=dict)  # of the handshake's answer, lower case

    @classmethod
    async def open(
        cls,
        port: int,
        path: str = WEBSOCKET,
        headers: Mapping[str, str] | None = None,
        receive_buffer: int | None = None,
    ) -> Self:
        """Raises Refused. `receive_buffer`: bytes that the kernel keeps for a client that does not read."""
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        limit = receive_buffer or 2**20
        reader, writer = await asyncio.open_connection(sock=connection, limit=limit)
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            *(f"{name}: {value}" for name, value in {**HANDSHAKE, **(headers or {})}.items()),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        answered = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        status = int(head[0].split()[1])
        if status != 101:
            body = await reader.read(int(answered.get("content-length", 0)))
            writer.close()
            raise Refused(status, body.decode())
        return cls(reader, writer, answered)

    @classmethod
    async def join(cls, port: int, **options: Any) -> Self:
        """One that has said its CONNECT, and been answered."""
        opened = await cls.open(port, **options)
        assert (await opened.text()).startswith("0{")
        opened.send("40")
        assert (await opened.text()).startswith("40{")
        return opened

    def send(self, text: str) -> None:
        self.send_frame(TEXT, text.encode())

    def send_frame(self, opcode: int, payload: bytes, first: int = FINAL) -> None:
        """One frame, masked with zeros; `first` holds the bits above the opcode."""
        length = len(payload)
        if length < 126:
            head = struct.pack("!BB", first | opcode, 0x80 | length)
        else:
            head = struct.pack("!BBQ", first | opcode, 0x80 | 127, length)
        self.writer.write(head + bytes(4) + payload)

    async def frame(self) -> tuple[bytes, int, bytes]:
        """The next frame: its header as it came, its opcode, its payload. Raises IncompleteReadError."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            head = await self.reader.readexactly(2)
            length = head[1] & 127
            if length >= 126:
                more = await self.reader.readexactly(2 if length == 126 else 8)
                head += more
                length = int.from_bytes(more)
            return head, head[0] & 15, await self.reader.readexactly(length)

    async def text(self) -> str:
        """The next text frame."""
        while True:
            _, opcode, payload = await self.frame()
            if opcode == TEXT:
                return payload.decode()
            assert opcode in (PING, PONG), (opcode, payload)

    async def ending(self) -> tuple[int, str]:
        """How the server ends it: code and reason of its close frame, 1006 where it sends none."""
        try:
            while True:
                _, opcode, payload = await self.frame()
                if opcode == CLOSE:
                    return int.from_bytes(payload[:2]), payload[2:].decode()
        except (asyncio.IncompleteReadError, ConnectionError):
            return 1006, ""

    def close(self) -> None:
        self.writer.close()


@dataclass
class Running:
    """A Socket.IO server that listens; what its clients sent as the event `say`, and who is in the room."""

    server: socketio.AsyncServer
    port: int
    said: list[Any] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def in_room(self) -> int:
        return len(list(self.server.manager.get_participants("/", "room")))

    async def tell(self, data: Any, **options: Any) -> None:
        await self.server.emit("told", data, room="room", **options)


@asynccontextmanager
async def running(server: socketio.AsyncServer) -> AsyncIterator[Running]:
    """`server` on a free port of 127.0.0.1, with everyone who connects in one room."""
    app = web.Application()
    server.attach(app)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    served = Running(server, port)

    async def connect(sid: str, _environ: Any, _auth: Any) -> None:
        await server.enter_room(sid, "room")

    async def say(_sid: str, data: Any) -> str:
        served.said.append(data)
        return "heard"

    def leave(*_: Any) -> None:
        served.left.set()

    server.on("connect", connect)
    server.on("say", say)
    server.on("disconnect", leave)
    try:
        yield served
    finally:
        await server.shutdown()
        for session in list(server.eio.sockets.values()):
            await session.close(wait=False, abort=True)
            session.queue.put_nowait(None)
        await runner.cleanup()


def event(*arguments: Any, number: int | None = None) -> str:
    """The packet of an event, that is to be acknowledged where it has a `number`."""
    return f"42{'' if number is None else number}" + json.dumps(list(arguments), separators=(",", ":"))
