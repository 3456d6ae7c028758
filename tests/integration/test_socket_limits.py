"""What a client of the rooms may send, hold and leave unread: each limit of the settings."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine
from typing import Any

import aiohttp
import pytest
import socketio
import uvloop

from broker.config import Settings
from notifications.limits import Limits, Pace
from notifications.sockets import SocketServer, socket_server
from tests.raw_sockets import (
    BINARY,
    DEADLINE_SECONDS,
    PING,
    PONG,
    TEXT,
    WEBSOCKET,
    RawSocket,
    Refused,
    event,
    running,
)

POLLING = "/socket.io/?EIO=4&transport=polling"
SMALL_BUFFER = 4096


LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


def run(scenario: Coroutine[Any, Any, None], loop: str = "uvloop") -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scenario

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(bounded())


def server(**settings: Any) -> SocketServer:
    return socket_server(Settings(**settings))


async def polling(http: aiohttp.ClientSession, port: int, connect: str = "40") -> str:
    """The URL of a long-polling session that has said `connect`."""
    url = f"http://127.0.0.1:{port}{POLLING}"
    async with http.get(url) as answer:
        sid = json.loads((await answer.text())[1:])["sid"]
    if connect:
        async with http.post(f"{url}&sid={sid}", data=connect) as answer:
            assert answer.status == 200
    return f"{url}&sid={sid}"


async def until(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


# --- what waits for a slow client


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("limits", "size"),
    [
        ({"NOTIFIER_QUEUE_PACKETS": 32, "NOTIFIER_QUEUE_BYTES": 2**30}, 20_000),
        ({"NOTIFIER_QUEUE_PACKETS": 100_000, "NOTIFIER_QUEUE_BYTES": 2**18}, 20_000),
    ],
    ids=["packets", "bytes"],
)
def test_a_client_that_does_not_read_is_dropped_and_the_others_hear_all(
    limits: dict[str, int], size: int, loop: str
) -> None:
    async def scenario() -> None:
        async with running(server(**limits)) as served:
            stalled = await RawSocket.join(served.port, receive_buffer=SMALL_BUFFER)
            healthy = await RawSocket.join(served.port)
            heard: list[str] = []

            async def listen() -> None:
                while not heard or "last" not in heard[-1]:
                    heard.append(await healthy.text())

            listening = asyncio.create_task(listen())
            told = 0
            while served.in_room() == 2:
                assert told < 2000, "it was never dropped"
                await served.tell(f"{told} {'x' * size}")
                told += 1
                # The healthy one is waited for, so that only who does not read is slow.
                await until(lambda told=told: len(heard) == told)
            await served.tell("last")
            await listening
            assert len(heard) == told + 1
            most = min(limits["NOTIFIER_QUEUE_PACKETS"] * size, limits["NOTIFIER_QUEUE_BYTES"])
            kernel = 8 * 2**20  # what the two ends of a connection may hold by themselves
            assert told * size < most + kernel
            healthy.close()
            stalled.close()

    run(scenario(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_many_small_events_at_once_drop_nobody_who_reads(loop: str) -> None:
    async def scenario() -> None:
        async with running(server(NOTIFIER_QUEUE_PACKETS=16)) as served:
            client = await RawSocket.join(served.port)
            for number in range(500):
                await served.tell(number)
                if number % 8 == 7:
                    await asyncio.sleep(0)
            assert [await client.text() for _ in range(500)] == [event("told", n) for n in range(500)]
            client.close()

    run(scenario(), loop)


def test_a_client_that_does_not_poll_is_dropped() -> None:
    async def scenario() -> None:
        async with running(server(NOTIFIER_QUEUE_PACKETS=32)) as served, aiohttp.ClientSession() as http:
            session = await polling(http, served.port)
            assert served.in_room() == 1
            for number in range(40):
                await served.tell(number)
            assert served.in_room() == 0
            async with http.get(session) as answer:
                assert answer.status == 400

    run(scenario())


# --- what a client sends


def test_a_flood_is_slowed_down_and_loses_nothing() -> None:
    async def scenario() -> None:
        async with running(server(NOTIFIER_MESSAGE_RATE=50)) as served:
            client = await RawSocket.join(served.port)
            start = time.monotonic()
            for number in range(150):
                client.send(event("say", number))
            await until(lambda: len(served.said) == 150)
            assert served.said == list(range(150))
            # 100 may have been saved up; the CONNECT took one.
            assert time.monotonic() - start > 49 / 50
            client.close()

    run(scenario())


def test_pings_count_as_messages() -> None:
    async def scenario() -> None:
        async with running(server(NOTIFIER_MESSAGE_RATE=50)) as served:
            client = await RawSocket.join(served.port)
            start = time.monotonic()
            for _ in range(130):
                client.send_frame(PING, b"hello")
            for _ in range(130):
                assert (await client.frame())[1:] == (PONG, b"hello")
            assert time.monotonic() - start > 29 / 50
            client.close()

    run(scenario())


def test_a_flood_ends_with_its_session() -> None:
    async def scenario() -> None:
        async with running(server(NOTIFIER_MESSAGE_RATE=10)) as served:
            client = await RawSocket.join(served.port)
            ((sid, _),) = served.server.manager.get_participants("/", "room")
            for _ in range(5000):
                client.send_frame(PING, b"hello")
            assert (await client.frame())[1] == PONG
            session = served.server.manager.eio_sid_from_sid(sid, "/")
            await until(lambda: served.server.eio.websockets[session]._pace.is_exceeded)
            # As when pongs fail to come: what the library's writer ends on, and then closes the socket.
            served.server.eio.sockets[session].queue.put_nowait(None)
            # A reset, where the kernel threw away what came too late.
            assert await client.ending() in ((1008, "it sends too much"), (1006, ""))
            client.close()

    run(scenario())


def test_a_flood_of_bodies_is_slowed_down_too() -> None:
    async def scenario() -> None:
        async with running(server(NOTIFIER_MESSAGE_RATE=50)) as served, aiohttp.ClientSession() as http:
            session = await polling(http, served.port, connect="")
            start = time.monotonic()
            for packets in (["40"], *[[f'42["say",{number}]'] * 16 for number in range(8)]):
                async with http.post(session, data="\x1e".join(packets)) as answer:
                    assert answer.status == 200
            assert len(served.said) == 8 * 16
            assert time.monotonic() - start > 28 / 50

    run(scenario())


def test_pace() -> None:
    at = [100.0]
    pace = Pace(10, now=lambda: at[0])
    assert [pace.take() for _ in range(22)] == pytest.approx([0.0] * 20 + [0.1, 0.2])
    at[0] += 0.25
    assert pace.take() == pytest.approx(0.05)
    at[0] += 1000
    assert [pace.take() for _ in range(21)] == pytest.approx([0.0] * 20 + [0.1])


@pytest.mark.parametrize("fragments", [1, 5])
def test_a_frame_that_is_too_long_closes_the_socket(fragments: int) -> None:
    async def scenario() -> None:
        async with running(server(NOTIFIER_FRAME_BYTES=2048)) as served:
            client = await RawSocket.join(served.port)
            client.send(event("say", "x" * 2000))
            await until(lambda: served.said)
            if fragments == 1:
                client.send(event("say", "x" * 2048))
            else:
                for number in range(fragments):
                    client.send_frame(0 if number else TEXT, b"4" * 500, first=0)
            assert (await client.ending())[0] == 1009
            await until(lambda: not served.in_room())
            client.close()

    run(scenario())


MALFORMED = [
    "",
    "x",
    "9",
    "6",
    "2",
    "2probe",
    "5",
    "0",
    "3 ",
    "4",
    "4x",
    '4["say"]',
    "47",
    "42",
    "42{",
    "42[",
    "42[]",
    "42{}",
    "42[1]",
    '42"say"',
    '42["say",',
    '421e999["say"]',
    "42" + "1" * 200 + '["say"]',
    "42" + "[" * 8000,
    "43",
    '43["x"]',
    '44{"message":"no"}',
    '451-["say",{"_placeholder":true,"num":0}]',
    '4599999-["say"]',
    '461-1["say",{"_placeholder":true,"num":0}]',
    "40{",
]


@pytest.mark.parametrize("packet", MALFORMED, ids=lambda packet: ascii(packet)[:24])
def test_a_malformed_packet_closes_the_socket_at_once_and_leaves_no_ghost(packet: str) -> None:
    async def scenario() -> None:
        async with running(server()) as served:
            client, other = [await RawSocket.join(served.port) for _ in range(2)]
            client.send(packet)
            code, reason = await client.ending()
            assert code == 1002
            assert reason
            await until(lambda: served.in_room() == 1)
            await served.tell("still here")
            assert await other.text() == event("told", "still here")
            client.close()
            other.close()

    run(scenario())


@pytest.mark.parametrize(
    ("opcode", "payload", "first", "code"),
    [
        (BINARY, b"4hello", 0x80, 1003),
        (TEXT, b"4\xff\xfe", 0x80, 1007),
        (3, b"", 0x80, 1002),
        (TEXT, b"42", 0xC0, 1002),
        (0, b"42", 0x80, 1002),
        (PING, b"", 0, 1002),
        (PING, b"x" * 126, 0x80, 1002),
    ],
    ids=["binary", "not UTF-8", "opcode", "reserved bit", "continues nothing", "split ping", "long ping"],
)
def test_a_malformed_frame_closes_the_socket_at_once(
    opcode: int, payload: bytes, first: int, code: int
) -> None:
    async def scenario() -> None:
        async with running(server()) as served:
            client = await RawSocket.join(served.port)
            client.send_frame(opcode, payload, first)
            assert (await client.ending())[0] == code
            await until(lambda: not served.in_room())
            client.close()

    run(scenario())


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"4", b"4x", b"bAAAA", b"2", b"40\x1e", b'42["say"]\x1e' * 20, b"\xff", b"x" * 20_000],
    ids=lambda body: ascii(body)[:20],
)
def test_a_malformed_body_ends_the_session_at_once(body: bytes) -> None:
    async def scenario() -> None:
        async with running(server()) as served, aiohttp.ClientSession() as http:
            session = await polling(http, served.port)
            assert served.in_room() == 1
            async with http.post(session, data=body) as answer:
                assert answer.status == (413 if len(body) > 16_384 else 400)
            assert served.in_room() == 0

    run(scenario())


def test_a_malformed_packet_in_a_body_ends_the_session_at_once() -> None:
    async def scenario() -> None:
        async with running(server()) as served, aiohttp.ClientSession() as http:
            session = await polling(http, served.port, connect="")
            async with http.post(session, data="40\x1e42{") as answer:
                await answer.text()
            assert served.in_room() == 0

    run(scenario())


def test_an_upgrade_that_fails_leaves_long_polling_at_work() -> None:
    async def scenario() -> None:
        async with running(server()) as served, aiohttp.ClientSession() as http:
            session = await polling(http, served.port)
            client = await RawSocket.open(served.port, f"{WEBSOCKET}&{session.rpartition('&')[2]}")
            client.send("4nonsense")
            assert (await client.ending())[0] == 1002
            await served.tell("by polling")
            heard = ""
            while "by polling" not in heard:
                async with http.get(session) as answer:
                    assert answer.status == 200
                    heard += await answer.text()
            client.close()

    run(scenario())


# --- who may connect, and for how long in silence


@pytest.mark.parametrize("first", [None, "41", '40/elsewhere,{"x":1}'], ids=["silent", "left", "elsewhere"])
def test_whoever_says_no_connect_in_time_is_closed(first: str | None) -> None:
    async def scenario() -> None:
        async with running(server(NOTIFIER_CONNECT_TIMEOUT=0.3)) as served:
            client = await RawSocket.open(served.port)
            patient = await RawSocket.join(served.port)
            start = time.monotonic()
            if first is not None:
                client.send(first)
            code, reason = await client.ending()
            assert (code, reason) == (1002, "no CONNECT came in time")
            assert time.monotonic() - start > 0.25
            await served.tell("still here")
            assert await patient.text() == event("told", "still here")
            client.close()
            patient.close()

    run(scenario())


def test_connections_from_one_address() -> None:
    async def scenario() -> None:
        async with running(server(NOTIFIER_ADDRESS_CONNECTIONS=2)) as served:
            held = [await RawSocket.join(served.port) for _ in range(2)]
            with pytest.raises(Refused) as refused:
                await RawSocket.join(served.port)
            assert refused.value.status == 429
            assert json.loads(refused.value.body) == {"message": "At most 2 connections from one address"}
            with pytest.raises(Refused) as refused:
                await RawSocket.join(served.port, headers={"X-Forwarded-For": "10.0.0.9"})
            assert refused.value.status == 429
            held.pop().close()
            await until(lambda: served.in_room() == 1)
            again = await RawSocket.join(served.port)
            again.close()
            held.pop().close()
            await until(lambda: served.in_room() == 0)
            assert not served.server.eio._connections

    run(scenario())


def test_the_address_that_a_proxy_of_ours_tells() -> None:
    async def scenario() -> None:
        async with running(server(NOTIFIER_ADDRESS_CONNECTIONS=1, NOTIFIER_PROXIES=1)) as served:
            first = await RawSocket.join(served.port, headers={"X-Forwarded-For": "10.0.0.1"})
            second = await RawSocket.join(served.port, headers={"X-Forwarded-For": "10.0.0.2"})
            with pytest.raises(Refused):
                # What the client itself wrote is not believed, only what the proxy added.
                await RawSocket.join(served.port, headers={"X-Forwarded-For": "10.0.0.3, 10.0.0.1"})
            first.close()
            second.close()

    run(scenario())


def test_a_handshake_that_fails_is_not_counted() -> None:
    async def scenario() -> None:
        async with running(server(NOTIFIER_ADDRESS_CONNECTIONS=1)) as served:
            for _ in range(3):
                with pytest.raises(Refused) as refused:
                    await RawSocket.open(served.port, headers={"Sec-WebSocket-Key": "short"})
                assert refused.value.status == 400
            client = await RawSocket.join(served.port)
            client.close()

    run(scenario())


# --- transports


def test_long_polling_behind_a_plain_balancer_is_refused_with_the_reason() -> None:
    async def scenario() -> None:
        async with running(server(NOTIFIER_BALANCED=True)) as served, aiohttp.ClientSession() as http:
            for path in (POLLING, "/socket.io/?EIO=4"):
                async with http.get(f"http://127.0.0.1:{served.port}{path}") as answer:
                    assert answer.status == 400
                    assert 'transports: ["websocket"]' in (await answer.json())["message"]
            url = f"http://127.0.0.1:{served.port}"
            polling = socketio.AsyncClient(reconnection=False)
            with pytest.raises(socketio.exceptions.ConnectionError):
                await polling.connect(url)
            client = socketio.AsyncClient(reconnection=False)
            await client.connect(url, transports=["websocket"])
            assert await client.call("say", "hello") == "heard"
            await client.disconnect()

    run(scenario())


def test_nothing_is_compressed_unless_the_settings_say_so() -> None:
    async def scenario() -> None:
        offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
        async with running(server()) as served:
            client = await RawSocket.open(served.port, headers=offer)
            assert "sec-websocket-extensions" not in client.headers
            client.close()
        async with running(server(NOTIFIER_DEFLATE=True)) as served:
            client = await RawSocket.open(served.port, headers=offer)
            assert "permessage-deflate" in client.headers["sec-websocket-extensions"]
            client.close()

    run(scenario())


def test_the_defaults() -> None:
    limits = Limits.of(Settings())
    assert (limits.queue_packets, limits.queue_bytes) == (256, 2**20)
    assert limits.frame_bytes == 16 * 1024
    assert limits.connect_seconds == 5
