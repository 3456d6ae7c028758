"""The hostile clients, in a process of their own.

`python -m tests.bench.hostile.storm` reads one line of JSON, a `Plan`, runs until its standard input ends,
and prints a line of JSON: for each kind of client, an `Outcome`. A client whose connection the server closes
comes again after a pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.bench.hostile import garbage
from tests.bench.hostile.wire import NO_MASK, PING, Wire, event, header, packet
from tests.bench.usage import established

SMALL_WINDOW = 4096
CHUNK_BYTES = 32 * 1024  # what a flooding client sends at a time
LOOK_SECONDS = 0.25  # how often is looked whether stalled clients are still connected
MORE_SECONDS = 0.02  # between two pieces of garbage that has no end
STOP_SECONDS = 20


@dataclass(frozen=True)
class Plan:
    """`room` is where the healthy are; the signed-in ones flood `flooded_room`."""

    port: int
    room: str
    flooded_room: str
    user_id: int
    token: str
    stalled: int
    flooding: int
    malformed: int
    pause: float = 0.1  # seconds before a malformed client comes again
    patience: float = 15  # seconds that one waits to be closed


@dataclass
class Outcome:
    """Of one kind. `closed`: seconds from the misdeed to the end of each connection that the server ended."""

    closed: list[float] = field(default_factory=list)
    outlasted: int = 0  # not closed while the client's patience lasted
    open: int = 0  # not closed yet when all ended
    refused: int = 0  # connections that did not get far enough for a misdeed
    sent: int = 0  # bytes


class _Storm:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._connected: set[int] = set()
        self._looked = asyncio.Condition()
        self.outcomes: dict[str, Outcome] = {}

    async def run(self) -> None:
        plan = self._plan
        floods = list(self._floods().items())
        clients: list[Coroutine[Any, Any, None]] = [self._look()]
        clients += [self._again("stalled", self._stall, 1.0) for _ in range(plan.stalled)]
        for number in range(plan.flooding):
            kind, (chunk, token) = floods[number % len(floods)]
            clients.append(self._again(f"flood: {kind}", self._flood(chunk, token), 1.0))
        clients += [self._malform(number) for number in range(plan.malformed)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(client) for client in clients]
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
            for task in tasks:
                task.cancel()

    async def _again(self, kind: str, misbehave: Callable[[Outcome], Awaitable[None]], pause: float) -> None:
        """One client that comes again and again. `misbehave` returns where the server has ended it."""
        outcome = self.outcomes.setdefault(kind, Outcome())
        while True:
            try:
                await misbehave(outcome)
            except OSError:  # a TimeoutError too
                outcome.refused += 1
            await asyncio.sleep(pause)

    async def _malform(self, number: int) -> None:
        """One client that tries one kind after the other."""
        kinds = garbage.KINDS
        while True:
            kind = kinds[number % len(kinds)]
            outcome = self.outcomes.setdefault(kind.name, Outcome())
            try:
                await self._send_garbage(kind, outcome)
            except OSError:
                outcome.refused += 1
            number += 1
            await asyncio.sleep(self._plan.pause)

    async def _send_garbage(self, kind: garbage.Garbage, outcome: Outcome) -> None:
        wire = await Wire.open(self._plan.port)
        try:
            if kind.stage != "opened":
                await wire.upgrade()
            if kind.stage == "joined":
                await wire.connect()
                await wire.join(self._plan.room, "nobody")
            await _until_closed(wire, _endless(wire, kind, outcome), outcome, self._plan.patience)
        finally:
            wire.close()

    def _floods(self) -> dict[str, tuple[bytes, str | None]]:
        """What is sent again and again, and the token of who sends it."""
        plan = self._plan
        own = event("message", 1, user_id=plan.user_id, room_id=plan.flooded_room, message="flood " * 5)
        anonymous = event("message", 1, user_id="nobody", room_id=plan.room, message="flood " * 5)
        join = event("join_notification", 1, user_id="nobody", room_id="genre:flooded")
        leave = event("leave_notification", 1, user_id="nobody", room_id="genre:flooded")
        ping = header(4, PING) + NO_MASK + b"ping"
        return {
            "messages, signed in": (_chunk(own), plan.token),
            "messages, without a token": (_chunk(anonymous), None),
            "joins and leaves": (_chunk(join + leave), None),
            "Engine.IO pongs": (_chunk(packet("3")), None),
            "WebSocket pings": (_chunk(ping), None),
        }

    def _flood(self, chunk: bytes, token: str | None) -> Callable[[Outcome], Awaitable[None]]:
        async def endless(wire: Wire, outcome: Outcome) -> None:
            while True:
                await wire.send(chunk)
                outcome.sent += len(chunk)

        async def flood(outcome: Outcome) -> None:
            wire = await Wire.open(self._plan.port)
            try:
                await wire.upgrade()
                await wire.connect(token)
                room = self._plan.flooded_room if token else self._plan.room
                await wire.join(room, self._plan.user_id if token else "nobody")
                await _until_closed(wire, endless(wire, outcome), outcome)
            finally:
                wire.close()

        return flood

    async def _stall(self, outcome: Outcome) -> None:
        wire = await Wire.open(self._plan.port, SMALL_WINDOW)
        try:
            await wire.upgrade()
            await wire.connect()
            await wire.join(self._plan.room, "nobody")
            began = time.monotonic()
            try:
                async with self._looked:
                    await self._looked.wait()  # the first look may be from before
                    await self._looked.wait_for(lambda: wire.local_port not in self._connected)
            except asyncio.CancelledError:
                outcome.open += 1
                raise
            outcome.closed.append(time.monotonic() - began)
        finally:
            wire.close()

    async def _look(self) -> None:
        """Who is connected, as the server sees it: the stalled do not read that they are not."""
        while True:
            async with self._looked:
                self._connected = established(self._plan.port)
                self._looked.notify_all()
            await asyncio.sleep(LOOK_SECONDS)


async def _until_closed(
    wire: Wire, sending: Coroutine[Any, Any, None], outcome: Outcome, patience: float | None = None
) -> None:
    """Send, and read, until the server closes the connection or for `patience` seconds."""
    began = time.monotonic()
    writer = asyncio.create_task(sending)
    try:
        async with asyncio.timeout(patience):
            await wire.drain()
        outcome.closed.append(time.monotonic() - began)
    except TimeoutError:
        outcome.outlasted += 1
    except asyncio.CancelledError:
        outcome.open += 1
        raise
    finally:
        writer.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await writer


async def _endless(wire: Wire, kind: garbage.Garbage, outcome: Outcome) -> None:
    await wire.send(kind.data)
    outcome.sent += len(kind.data)
    while kind.more:
        await asyncio.sleep(MORE_SECONDS)
        await wire.send(kind.more)
        outcome.sent += len(kind.more)


def _chunk(frames: bytes) -> bytes:
    # With a pong in it: the server's ping is answered as soon as a flood can.
    return frames * (CHUNK_BYTES // len(frames)) + packet("3")


class Storm:
    """The process, as a context; `finish` ends it."""

    def __init__(self, plan: Plan) -> None:
        command = [sys.executable, "-m", "tests.bench.hostile.storm"]
        root = Path(__file__).resolve().parents[3]
        self._process = subprocess.Popen(
            command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin
        self._process.stdin.write(json.dumps(asdict(plan)) + "\n")
        self._process.stdin.flush()

    def finish(self) -> dict[str, Outcome]:
        """What became of them, by kind."""
        shown, _ = self._process.communicate(timeout=STOP_SECONDS)
        return {kind: Outcome(**outcome) for kind, outcome in json.loads(shown).items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.kill()
        self._process.wait()


async def _main() -> None:
    storm = _Storm(Plan(**json.loads(sys.stdin.readline())))
    await storm.run()
    print(json.dumps({kind: asdict(outcome) for kind, outcome in storm.outcomes.items()}))


if __name__ == "__main__":
    asyncio.run(_main())
