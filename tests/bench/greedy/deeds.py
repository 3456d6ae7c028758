"""What a greedy client does, by kind: what it asks for again and again, or how it holds connections."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import string
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.bench.greedy.people import ROOM
from tests.bench.hostile.wire import Wire, event, packet
from tests.clients import PASSWORD

GREEDY = "127.0.0.2"
PAUSE_SECONDS = 0.05  # after a connection that failed: not to spin, which would only measure this process
COME_AGAIN_SECONDS = 0.5  # after one that was held, and closed by the server
MOST_Q_CHARACTERS = 300
SEARCH = "/api/movies/search"
LOGIN = "/api/auth/login"
WHOLE_REQUEST = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HALF_A_REQUEST = b"GET /api/movies HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: "


@dataclass(frozen=True)
class Target:
    """The doors, and what is the greedy client's own; `victim` is somebody else's e-mail address."""

    gateway: str
    notifier: str
    token: str
    user_id: int
    victim: str
    replay: str | None = None

    @property
    def gateway_port(self) -> int:
        return urlsplit(self.gateway).port or 80

    @property
    def notifier_port(self) -> int:
        return urlsplit(self.notifier).port or 80


@dataclass(frozen=True)
class Ask:
    method: str
    path: str
    query: dict[str, str] | None = None
    body: bytes | None = None
    token: str | None = None


Clients = list[Coroutine[Any, Any, None]]
Deed = Callable[[Target, Counter[str]], Clients]


def asking(asks: Callable[[Target], Iterator[Ask]], connections: int) -> Deed:
    """So many connections that each ask as soon as they are answered."""

    async def ask(
        http: aiohttp.ClientSession, target: Target, source: Iterator[Ask], tally: Counter[str]
    ) -> None:
        while True:
            each = next(source)
            headers = {"Authorization": f"Bearer {each.token}"} if each.token else {}
            if each.body is not None:
                headers["Content-Type"] = "application/json"
            try:
                async with http.request(
                    each.method,
                    target.gateway + each.path,
                    params=each.query,
                    data=each.body,
                    headers=headers,
                ) as answer:
                    await answer.read()
                    tally[str(answer.status)] += 1
            except (OSError, aiohttp.ClientError):
                tally["cut off"] += 1
                await asyncio.sleep(PAUSE_SECONDS)

    async def together(target: Target, tally: Counter[str]) -> None:
        source = asks(target)
        connector = aiohttp.TCPConnector(limit=connections, local_addr=(GREEDY, 0))
        timeout = aiohttp.ClientTimeout(total=60)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(connections):
                group.create_task(ask(http, target, source, tally))

    return lambda target, tally: [together(target, tally)]


def holding(port: Callable[[Target], int], count: int, first: bytes) -> Deed:
    """So many connections that say `first` and nothing more; one that is closed comes again."""

    async def hold(target: Target, tally: Counter[str]) -> None:
        while True:
            try:
                wire = await Wire.open(port(target), source=GREEDY)
            except OSError:
                tally["refused"] += 1
                await asyncio.sleep(COME_AGAIN_SECONDS)
                continue
            tally["opened"] += 1
            try:
                with suppress(OSError):
                    await wire.send(first)
                    await wire.drain()
                tally["closed"] += 1
            finally:
                wire.close()
            await asyncio.sleep(COME_AGAIN_SECONDS)

    return lambda target, tally: [hold(target, tally) for _ in range(count)]


def talking(sockets: int) -> Deed:
    """So many sockets of one user that put messages into the room of the others as fast as they can."""

    async def talk(target: Target, tally: Counter[str]) -> None:
        said = event("message", 1, user_id=target.user_id, room_id=ROOM, message="flood " * 5)
        while True:
            try:
                wire = await Wire.open(target.notifier_port, source=GREEDY)
            except OSError:
                tally["refused"] += 1
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            reading: asyncio.Task[None] | None = None
            try:
                await wire.upgrade()
                await wire.connect(target.token)
                await wire.join(ROOM, target.user_id)
                reading = asyncio.create_task(wire.drain())
                while not reading.done():
                    await wire.send(said * 10 + packet("3"))  # and a pong, for a ping that may have come
                    tally["sent"] += 10
            except OSError:
                tally["closed"] += 1
            finally:
                if reading:
                    reading.cancel()
                wire.close()
            await asyncio.sleep(PAUSE_SECONDS)

    return lambda target, tally: [talk(target, tally) for _ in range(sockets)]


def replaying(sockets: int) -> Deed:
    """So many sockets that ask for all that the room of all reviews was told, again and again."""

    async def replay(target: Target, tally: Counter[str]) -> None:
        while True:
            wire = None
            try:
                wire = await Wire.open(target.notifier_port, source=GREEDY)
                await wire.upgrade()
                await wire.connect()
                await wire.join("all", "nobody", last_event_id=target.replay)
                tally["replayed"] += 1
            except OSError:  # a TimeoutError too
                tally["cut off"] += 1
                await asyncio.sleep(PAUSE_SECONDS)
            finally:
                if wire:
                    wire.close()

    return lambda target, tally: [replay(target, tally) for _ in range(sockets)]


def one_letter_words(_: Target) -> Iterator[Ask]:
    """With a z, which no film has of those that are like them: what is spelt alike is looked for."""
    while True:
        letters = ["z", *random.choices(string.ascii_lowercase, k=MOST_Q_CHARACTERS // 2 - 1)]
        yield Ask("GET", SEARCH, {"q": " ".join(letters)})


def odd_queries(_: Target) -> Iterator[Ask]:
    """Hyphens, one letter, Chinese, long words."""
    while True:
        yield Ask("GET", SEARCH, {"q": "-" * 33})
        yield Ask("GET", SEARCH, {"q": random.choice(string.ascii_letters) * MOST_Q_CHARACTERS})
        chinese = random.choices(range(0x4E00, 0x9FA5), k=MOST_Q_CHARACTERS)
        yield Ask("GET", SEARCH, {"q": "".join(map(chr, chinese))})
        long = ("".join(random.choices(string.ascii_lowercase, k=24)) for _ in range(12))
        yield Ask("GET", SEARCH, {"q": " ".join(long)})


def logins(_: Target) -> Iterator[Ask]:
    for number in itertools.count():
        yield _posted(LOGIN, {"email": f"nobody-{number}@example.com", "password": PASSWORD})


def pages(_: Target) -> Iterator[Ask]:
    while True:
        digits = "".join(random.choices(string.digits, k=12))
        yield Ask("GET", SEARCH, {"limit": "1000", "max_rating": f"9.{digits}"})


def keys_at_login(_: Target) -> Iterator[Ask]:
    return itertools.repeat(Ask("POST", LOGIN, body=many_keys()))


def nested_at_login(_: Target) -> Iterator[Ask]:
    return itertools.repeat(Ask("POST", LOGIN, body=nested()))


def bodies_at_movies(target: Target) -> Iterator[Ask]:
    path = "/api/movies"
    return itertools.cycle(
        Ask("POST", path, body=body, token=target.token) for body in (many_keys(), nested())
    )


def guesses(target: Target) -> Iterator[Ask]:
    for number in itertools.count():
        yield _posted(LOGIN, {"email": target.victim, "password": f"a wrong guess {number}"})


def registrations(_: Target) -> Iterator[Ask]:
    while True:
        name = f"many-{uuid.uuid4().hex[:12]}"
        password = {"password": PASSWORD, "confirm_password": PASSWORD}
        yield _posted("/api/auth/register", {"username": name, "email": f"{name}@example.com", **password})


def wrong_current_passwords(target: Target) -> Iterator[Ask]:
    for number in itertools.count():
        fresh = {"password": "another password", "confirm_password": "another password"}
        body = {**fresh, "current_password": f"a wrong guess {number}"}
        yield Ask("PATCH", "/api/auth/me", body=json.dumps(body).encode(), token=target.token)


def many_keys() -> bytes:
    """60,000 keys that no form has: nearly 1 MiB."""
    return json.dumps({f"key-{number:05}": 1234 for number in range(60_000)}, separators=(",", ":")).encode()


def nested() -> bytes:
    """Arrays 30 deep, one beside the other: nearly 1 MiB."""
    one = b"[" * 28 + b"]" * 28
    return b'{"email":[' + b",".join([one] * 18_000) + b"]}"


def _posted(path: str, body: dict[str, Any]) -> Ask:
    return Ask("POST", path, body=json.dumps(body).encode())


DEEDS: dict[str, Deed] = {
    "one-letter words": asking(one_letter_words, 40),
    "odd queries": asking(odd_queries, 40),
    "logins": asking(logins, 40),
    "pages": asking(pages, 40),
    "idle at the gateway": holding(lambda target: target.gateway_port, 1000, WHOLE_REQUEST),
    "half a request": holding(lambda target: target.gateway_port, 1000, HALF_A_REQUEST),
    "idle at the notifier": holding(lambda target: target.notifier_port, 1500, WHOLE_REQUEST),
    "keys at login": asking(keys_at_login, 4),
    "nested at login": asking(nested_at_login, 4),
    "bodies at movies": asking(bodies_at_movies, 4),
    "guesses": asking(guesses, 10),
    "registrations": asking(registrations, 10),
    "current passwords": asking(wrong_current_passwords, 10),
    "messages": talking(20),
    "replays": replaying(20),
}
