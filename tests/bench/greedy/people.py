"""Ordinary people, in a process of their own that tests.bench.greedy starts.

They read, sign in, open new connections, and talk in a room, all from 127.0.0.1 and at a moderate pace. The
pace is kept: somebody who waits keeps nobody from coming. Each line of stdin names the phase that begins. In
the end stdout has, by phase and activity, the milliseconds that each took and what went wrong, and how many
messages somebody else put into their room.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp
import socketio

from tests.clients import PASSWORD

HERE = "127.0.0.1"
ROOM = "genre:greedy"  # where they talk
KEPT = 8  # connections that reading keeps open
ANSWER_SECONDS = 30.0  # after which somebody has waited in vain
SHOWN_CHARACTERS = 160

# Seconds from one to the next: some 23 requests a second in all.
READ = 1 / 16
SIGN_IN = 1.5
CONNECT = 1 / 3
JOIN = 1.0
SAY = 0.5
REPLAY = 2.5


class Wronged(Exception):
    """Somebody who asked for nothing special did not get it."""


@dataclass(frozen=True)
class Plan:
    """`accounts` are e-mail addresses; `replay`, where it is given, a position in the room `all`."""

    gateway: str
    notifier: str
    accounts: list[str]
    token: str  # of who talks
    user_id: int
    movies: list[int]
    titles: list[str]
    replay: str | None = None


@dataclass
class Times:
    """Of one activity in one phase."""

    milliseconds: list[float] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)


class People:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._phase = ""
        self._random = random.Random(9)
        self._heard: dict[str, asyncio.Future[None]] = {}
        self._said = 0
        self._signed_in = 0
        self._waiting: set[asyncio.Task[None]] = set()
        self.flooded: Counter[str] = Counter()  # by phase, messages that nobody ordinary has said
        self.times: dict[str, dict[str, Times]] = defaultdict(lambda: defaultdict(Times))

    async def run(self) -> None:
        """Until stdin ends, and those who still wait have their answer."""
        async with _session(KEPT) as self._http:
            speaker, listener = self._client(self._http), self._client(self._http)
            listener.on("message", self._hear)
            for who in (listener, speaker):
                await _join(who, self._plan.notifier, self._plan.user_id, ROOM, token=self._plan.token)
            self._speaker = speaker
            paces = {
                "reads": (READ, self._read),
                "sign-ins": (SIGN_IN, self._sign_in),
                "new connections": (CONNECT, self._connect),
                "joins": (JOIN, self._join),
                "messages": (SAY, self._say),
            }
            if self._plan.replay:
                paces["replays"] = (REPLAY, self._replay)
            print("ready", flush=True)
            coming = [asyncio.create_task(self._come(what, *pace)) for what, pace in paces.items()]
            while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
                self._phase = line.strip()
            for each in coming:
                each.cancel()
            if self._waiting:
                await asyncio.wait(self._waiting)
            for who in (listener, speaker):
                await who.disconnect()

    async def _come(self, activity: str, pause: float, act: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._random.random() * pause
        while True:
            await asyncio.sleep(due - loop.time())
            task = asyncio.create_task(self._timed(self._phase, activity, act))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)
            due += pause

    async def _timed(self, phase: str, activity: str, act: Callable[[], Awaitable[None]]) -> None:
        began, wrong = time.perf_counter(), None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await act()
        except (OSError, Wronged, aiohttp.ClientError, socketio.exceptions.SocketIOError) as error:
            wrong = f"{activity}: {type(error).__name__} {error}"[:SHOWN_CHARACTERS]
        if phase:
            times = self.times[phase][activity]
            times.milliseconds.append((time.perf_counter() - began) * 1000)
            times.wrongs += [wrong] if wrong else []

    async def _read(self) -> None:
        draw = self._random.random()
        if draw < 0.6:
            path, query = f"/api/movies/{self._random.choice(self._plan.movies)}", {}
        elif draw < 0.9:
            path, query = "/api/movies/search", {"q": self._random.choice(self._plan.titles)}
        else:
            path, query = "/api/movies/popular", {}
        async with self._http.get(self._plan.gateway + path, params=query) as answer:
            await _check(answer)

    async def _sign_in(self) -> None:
        self._signed_in += 1
        email = self._plan.accounts[self._signed_in % len(self._plan.accounts)]
        body = {"email": email, "password": PASSWORD}
        async with self._http.post(f"{self._plan.gateway}/api/auth/login", json=body) as answer:
            await _check(answer)

    async def _connect(self) -> None:
        path = f"/api/movies/{self._random.choice(self._plan.movies)}"
        async with _session(1) as http, http.get(self._plan.gateway + path) as answer:
            await _check(answer)

    async def _join(self) -> None:
        async with _session(1) as http:
            client = self._client(http)
            try:
                await _join(client, self._plan.notifier, "somebody", ROOM)
            finally:
                await client.disconnect()

    async def _say(self) -> None:
        self._said += 1
        text = f"ordinary {self._said}"
        heard = self._heard[text] = asyncio.get_running_loop().create_future()
        data = {"user_id": self._plan.user_id, "room_id": ROOM, "message": text}
        answer = await self._speaker.call("message", data, timeout=ANSWER_SECONDS)
        if "error" in answer:
            raise Wronged(answer["error"])
        await heard

    async def _replay(self) -> None:
        """Come back to the room of all reviews, and hear what was missed up to where one enters."""
        heard: list[str] = []
        ended = asyncio.Event()
        async with _session(1) as http:
            client = self._client(http)
            client.on("new_review", lambda said: heard.append(said["event_id"]))
            client.on("disconnect", lambda *_: ended.set())
            joining = asyncio.create_task(
                _join(client, self._plan.notifier, "somebody", "all", last_event_id=self._plan.replay)
            )
            leaving = asyncio.create_task(ended.wait())
            try:
                await asyncio.wait({joining, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if not joining.done():
                    raise Wronged(f"cut off after {len(heard)} reviews")
                answer = joining.result()
                if answer["recovered"] and answer["last_event_id"] not in heard:
                    raise Wronged(f"{len(heard)} reviews heard, and not the last")
            finally:
                leaving.cancel()
                joining.cancel()
                with suppress(asyncio.CancelledError, socketio.exceptions.SocketIOError, Wronged):
                    await joining
                await client.disconnect()

    def _client(self, http: aiohttp.ClientSession) -> Any:
        return socketio.AsyncClient(reconnection=False, http_session=http)

    def _hear(self, said: dict[str, Any]) -> None:
        heard = self._heard.pop(said.get("message", ""), None)
        if heard is None:
            self.flooded[self._phase] += 1
        elif not heard.done():
            heard.set_result(None)


def _session(connections: int) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=connections, local_addr=(HERE, 0))
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS))


async def _join(
    client: Any, url: str, user_id: int | str, room: str, token: str | None = None, **more: Any
) -> Any:
    """Connect and join: the answer. Raises Wronged where it is refused."""
    auth = {"token": token} if token else None
    await client.connect(url, auth=auth, transports=["websocket"], wait_timeout=ANSWER_SECONDS)
    data = {"user_id": user_id, "room_id": room, **more}
    answer = await client.call("join_notification", data, timeout=ANSWER_SECONDS)
    if "error" in answer:
        raise Wronged(answer["error"])
    return answer


async def _check(answer: aiohttp.ClientResponse) -> None:
    body = await answer.text()
    if answer.status != 200:
        raise Wronged(f"{answer.status} {body}")


async def _main() -> None:
    people = People(Plan(**json.loads(sys.stdin.readline())))
    await people.run()
    print(
        json.dumps(
            {
                "flooded": people.flooded,
                "times": {
                    phase: {activity: asdict(times) for activity, times in activities.items()}
                    for phase, activities in people.times.items()
                },
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(_main())
