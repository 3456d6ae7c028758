"""Many stock listeners in one process: `python -m tests.chaos.listening`, driven by tests.chaos.listeners.

The first line of stdin says who listens where:

    {"urls": [...], "delays": [0.2, 1.0], "listeners": [{"name", "first", "rooms", "transports"}]}

`first` is the place of a URL; `transports` is null for what the client does by itself. Each line after it is
`["cut", name]`, which ends the connection without a word, or `["switch", name, place of a URL]`. With the end
of stdin all end. On stdout, a line for each thing that happens (`last`: an event's id, or null):

    ["connected", name, transport] ["upgraded", name, transport] ["disconnected", name]
    ["asked", name, room, last] ["answered", name, room, recovered, last] ["refused", name, room, error]
    ["heard", name, room, event id, review id] ["gave up", name, why]

tests/javascript/listening.mjs does the same with the other stock client.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
from contextlib import suppress
from functools import partial
from typing import Any

import aiohttp
import socketio

PUSHES = ("new_review", "review_updated", "review_deleted")
CONNECT_SECONDS = 5
AGAIN_SECONDS = 0.5
# Out of its rooms and idle for so long, a listener has given up; a dead connection it notices within 45 s.
PATIENCE_SECONDS = 50
WRITE_SECONDS = 0.1
AT_ONCE = 20  # first connects


class Output:
    """Lines for stdout, many to a write."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def put(self, *what: object) -> None:
        self._lines.append(json.dumps(what, separators=(",", ":")))

    def flush(self) -> None:
        if self._lines:
            sys.stdout.write("\n".join(self._lines) + "\n")
            sys.stdout.flush()
            self._lines.clear()


class Listener:
    def __init__(self, spec: dict[str, Any], urls: list[str], delays: list[float], output: Output) -> None:
        self.name: str = spec["name"]
        self._rooms: list[str] = spec["rooms"]
        self._transports: list[str] | None = spec["transports"]
        self._urls, self._delays, self._output = urls, delays, output
        self._place: int = spec["first"]
        self._last: dict[str, str | None] = dict.fromkeys(self._rooms)
        self._client = self._new_client()
        self._connecting = False
        self._heard_since_asked: set[str] = set()
        self._in: set[str] = set()  # rooms
        self._out_since = _now()

    async def connect(self) -> None:
        """Return once it is connected, however long that takes."""
        self._connecting = True
        client = self._client
        while client is self._client:
            try:
                await client.connect(
                    self._urls[self._place], transports=self._transports, wait_timeout=CONNECT_SECONDS
                )
                break
            # A notifier that is killed in mid-handshake makes the client stumble over what it did not get.
            except (socketio.exceptions.ConnectionError, aiohttp.ClientError, OSError, *_STUMBLES):
                await asyncio.sleep(AGAIN_SECONDS)
        self._connecting = False

    def cut(self) -> None:
        """End the connection without a word."""
        websocket = self._client.eio.ws
        if websocket is not None and (connection := websocket.get_extra_info("socket")) is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    async def switch(self, place: int) -> None:
        """Leave for another notifier."""
        self._place = place
        await self._start_anew()

    async def revive(self) -> None:
        """Start anew where the client has given up. A page would be loaded again by its reader."""
        client = self._client
        reconnecting = client._reconnect_task is not None and not client._reconnect_task.done()
        inside = client.connected and len(self._in) == len(self._rooms)
        if inside or reconnecting or self._connecting:
            self._out_since = _now()
        elif _now() - self._out_since > PATIENCE_SECONDS:
            why = "an answer did not come" if client.connected else "it does not connect again by itself"
            self._output.put("gave up", self.name, why)
            await self._start_anew()

    async def _start_anew(self) -> None:
        old = self._client
        self._left(old)
        # From here on nothing that still comes by the old one counts: the new one asks for it again.
        self._client, self._connecting = self._new_client(), True
        with suppress(Exception):
            await asyncio.wait_for(old.shutdown(), CONNECT_SECONDS)
        await self.connect()

    def _new_client(self) -> socketio.AsyncClient:
        shortest, longest = self._delays
        client = socketio.AsyncClient(
            reconnection_delay=shortest,
            reconnection_delay_max=longest,
            randomization_factor=shortest / 2,
            handle_sigint=False,
        )
        client.on("connect", partial(self._join, client))
        client.on("disconnect", lambda _reason: self._left(client))
        for push in PUSHES:
            client.on(push, partial(self._hear, client))
        return client

    async def _join(self, client: socketio.AsyncClient) -> None:
        if client is not self._client:
            return
        self._output.put("connected", self.name, client.transport())
        self._in, self._out_since = set(), _now()
        for room in self._rooms:
            await self._ask(client, room)

    async def _ask(self, client: socketio.AsyncClient, room: str) -> None:
        last = self._last[room]
        asked = {"user_id": "guest", "room_id": room}
        if last is not None:
            asked["last_event_id"] = last
        self._output.put("asked", self.name, room, last)
        self._heard_since_asked.discard(room)
        with suppress(socketio.exceptions.SocketIOError):
            await client.emit(
                "join_notification", asked, callback=partial(self._answered, client, client.sid, room)
            )

    async def _answered(
        self, client: socketio.AsyncClient, sid: str, room: str, answer: dict[str, Any]
    ) -> None:
        if client is not self._client:
            return
        if "error" in answer:
            self._output.put("refused", self.name, room, answer["error"])
            await asyncio.sleep(AGAIN_SECONDS)
            if client.connected and client.sid == sid:
                await self._ask(client, room)
            return
        last = answer["last_event_id"]
        # What was heard since it asked is newer than the answer.
        if room not in self._heard_since_asked and (last is not None or not answer["recovered"]):
            self._last[room] = last
        self._in.add(room)
        self._output.put("answered", self.name, room, answer["recovered"], last)

    def _hear(self, client: socketio.AsyncClient, push: dict[str, Any]) -> None:
        if client is not self._client:
            return
        room, event = push["room_id"], push["event_id"]
        self._last[room] = event
        self._heard_since_asked.add(room)
        self._out_since = _now()  # as long as it is being told what it missed, an answer is on its way
        self._output.put("heard", self.name, room, event, push["review"]["id"])

    def _left(self, client: socketio.AsyncClient) -> None:
        if client is self._client:
            self._output.put("disconnected", self.name)
            self._in, self._out_since = set(), _now()


_STUMBLES = (ValueError, TypeError, AttributeError, KeyError, IndexError)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def main() -> None:
    logging.disable()  # what becomes of clients that were left behind is no news
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    spec = json.loads(await commands.readline())
    output = Output()
    listeners = {
        each["name"]: Listener(each, spec["urls"], spec["delays"], output) for each in spec["listeners"]
    }
    tasks = {asyncio.create_task(_first_connects(list(listeners.values())))}
    tasks.add(asyncio.create_task(_look_after(listeners, output)))
    while line := await commands.readline():
        deed, name, *more = json.loads(line)
        if deed == "cut":
            listeners[name].cut()
        else:
            task = asyncio.create_task(listeners[name].switch(*more))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    output.flush()
    os._exit(0)  # a polling client would take seconds to say goodbye


async def _first_connects(listeners: list[Listener]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def connect(listener: Listener) -> None:
        async with gate:
            await listener.connect()

    await asyncio.gather(*(connect(listener) for listener in listeners))


async def _look_after(listeners: dict[str, Listener], output: Output) -> None:
    """Write what was put, and start listeners anew whose client has given up."""
    reviving: dict[str, asyncio.Task[None]] = {}
    next_look = 0.0
    while True:
        output.flush()
        await asyncio.sleep(WRITE_SECONDS)
        if _now() >= next_look:
            next_look = _now() + 1
            for name, listener in listeners.items():
                if name not in reviving or reviving[name].done():
                    reviving[name] = asyncio.create_task(listener.revive())


if __name__ == "__main__":
    asyncio.run(main())
