"""What the short way writes, against what python-socketio would have sent, frame by frame."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
import socketio
from hypothesis import given, settings
from hypothesis import strategies as st
from socketio import packet

from broker.config import Settings
from notifications.sockets import Json, socket_server
from tests.raw_sockets import CLOSE, RawSocket, Running, event, running

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
END = "the end"
LENGTHS = [100, 101, 102, 103, 104, 105, 106, 65_500, 65_510, 65_511, 65_512, 65_513, 65_520, 70_000]


async def frames(server: socketio.AsyncServer, told: list[Any]) -> list[bytes]:
    """All that a client in the room reads of `told`, header and payload, up to END."""
    async with running(server) as served:
        client = await RawSocket.join(served.port)
        for data in told:
            await served.tell(data)
        await served.tell(END)
        read: list[bytes] = []
        while not read or END.encode() not in read[-1]:
            head, _, payload = await client.frame()
            read.append(head + payload)
        client.close()
        return read


class Unescaped(packet.Packet):
    json = Json


def stock() -> socketio.AsyncServer:
    return socketio.AsyncServer(async_mode="aiohttp", async_handlers=False, serializer=Unescaped)


@settings(max_examples=60, deadline=None)
@given(st.lists(JSON | st.tuples(JSON, JSON), max_size=8))
def test_frames_are_those_of_the_library(told: list[Any]) -> None:
    async def both() -> tuple[list[bytes], list[bytes]]:
        return await frames(socket_server(Settings()), told), await frames(stock(), told)

    ours, theirs = asyncio.run(both())
    assert ours == theirs


@pytest.mark.parametrize("length", LENGTHS)
def test_every_length_of_header_is_the_librarys(length: int) -> None:
    told = ["x" * length, "é" * (length // 2)]

    async def both() -> tuple[list[bytes], list[bytes]]:
        return await frames(socket_server(Settings()), told), await frames(stock(), told)

    ours, theirs = asyncio.run(both())
    assert ours == theirs


class Writes:
    """Counts which way broadcasts took, at one client."""

    def __init__(self, served: Running) -> None:
        self.direct = 0
        self.library = 0
        (websocket,) = served.server.eio.websockets.values()
        take, send = websocket.take, websocket.send

        def counted_take(frame: bytes) -> int:
            kept: int = take(frame)
            self.direct += kept > 0
            return kept

        async def counted_send(message: str) -> None:
            self.library += 1
            await send(message)

        websocket.take, websocket.send = counted_take, counted_send


def test_broadcasts_take_the_short_way_and_nothing_overtakes() -> None:
    async def scenario() -> None:
        async with running(socket_server(Settings())) as served:
            client = await RawSocket.join(served.port)
            ways = Writes(served)
            (sid, _), *_ = served.server.manager.get_participants("/", "room")
            for number in range(50):
                if number % 7 == 3:
                    client.send(event("say", number, number=number))
                if number % 5 == 2:
                    await served.server.emit("asked", number, to=sid, callback=lambda *_: None)
                await served.tell(number)
                if number % 11 == 5:
                    await asyncio.sleep(0)
            await served.tell(END)
            told: list[str] = []
            while not told or END not in told[-1]:
                told.append(await client.text())
            in_order = [text for text in told if text.startswith("42")]
            numbers = [int(text.rsplit(",", 1)[1].rstrip("]")) for text in in_order if END not in text]
            assert numbers == sorted(numbers)
            assert len(numbers) == 60
            assert ways.direct > 0
            assert ways.library > 0
            await served.tell("quiet again")
            client.close()

    asyncio.run(scenario())


def test_a_client_that_upgrades_from_long_polling_gets_everything_in_order() -> None:
    async def scenario() -> None:
        async with running(socket_server(Settings())) as served:
            heard: list[int] = []
            done = asyncio.Event()
            client = socketio.AsyncClient(reconnection=False)

            def hear(number: int) -> None:
                heard.append(number)
                if number == 199:
                    done.set()

            client.on("told", hear)
            await client.connect(f"http://127.0.0.1:{served.port}", wait=False)
            while not served.in_room():
                await asyncio.sleep(0)
            for number in range(200):
                await served.tell(number)
                await asyncio.sleep(0)
            async with asyncio.timeout(10):
                await done.wait()
            assert heard == list(range(200))
            assert client.transport() == "websocket"
            await client.disconnect()

    asyncio.run(scenario())


def test_skipped_clients_and_other_rooms_hear_nothing() -> None:
    async def scenario() -> None:
        async with running(socket_server(Settings())) as served:
            one, other = [await RawSocket.join(served.port) for _ in range(2)]
            sids = [sid for sid, _ in served.server.manager.get_participants("/", "room")]
            await served.tell("for the other", skip_sid=sids[0])
            await served.tell("for one", skip_sid=[sids[1]])
            await served.server.emit("told", "for nobody", room="empty")
            await served.server.emit("told", "for all")
            for client, texts in ((one, ["for one", "for all"]), (other, ["for the other", "for all"])):
                assert [await client.text() for _ in texts] == [event("told", text) for text in texts]
            one.close()
            other.close()

    asyncio.run(scenario())


def test_a_compressing_client_is_served_by_the_library() -> None:
    async def scenario() -> None:
        async with running(socket_server(Settings(NOTIFIER_DEFLATE=True))) as served:
            client = socketio.AsyncClient(reconnection=False)
            heard: asyncio.Queue[Any] = asyncio.Queue()
            client.on("told", heard.put)
            await client.connect(f"http://127.0.0.1:{served.port}", transports=["websocket"])
            plain = await RawSocket.join(served.port)
            squeezed = await RawSocket.open(
                served.port, headers={"Sec-WebSocket-Extensions": "permessage-deflate"}
            )
            assert "permessage-deflate" in squeezed.headers["sec-websocket-extensions"]
            await served.tell("hello")
            assert await heard.get() == "hello"
            assert await plain.text() == '42["told","hello"]'
            plain.close()
            squeezed.close()
            await client.disconnect()

    asyncio.run(scenario())


def test_nothing_is_kept_of_clients_that_left() -> None:
    async def scenario() -> None:
        async with running(socket_server(Settings())) as served:
            manager = served.server.manager
            clients = [await RawSocket.join(served.port) for _ in range(3)]
            gone, stays, refused = [sid for sid, _ in manager.get_participants("/", "room")]
            for room in ("a", "b"):
                await served.server.enter_room(gone, room)
                await served.server.enter_room(stays, room)
            await served.server.leave_room(gone, "b")
            await served.server.disconnect(gone)
            clients[2].send("nonsense")
            await clients[2].ending()
            while manager.is_connected(refused, "/"):
                await asyncio.sleep(0)
            assert sorted(manager.get_rooms(stays, "/")) == sorted(["a", "b", "room", stays])
            assert manager.rooms.keys() == {"/"}
            assert manager.rooms["/"].keys() == {None, "a", "b", "room", stays}
            assert [sid for sid, _ in manager.get_participants("/", "a")] == [stays]
            await served.server.disconnect(stays)
            assert manager.rooms == {}
            assert manager.pending_connect == {}
            assert manager.pending_disconnect == {}
            assert not manager._rooms_of
            for client in clients:
                client.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("clean", [True, False], ids=["said goodbye", "cut off"])
def test_a_client_that_left_leaves_no_cycle_behind(clean: bool) -> None:
    async def scenario() -> None:
        async with running(socket_server(Settings(), ping_interval=0.1)) as served:
            gc.collect()
            clients = [await RawSocket.join(served.port) for _ in range(20)]
            for client in clients:
                client.send("41")
                if clean:
                    client.send_frame(CLOSE, b"")
                    await client.ending()
                client.close()
            while served.server.environ:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)  # the library's next ping to a client that has left finds out
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            kinds = {type(each).__name__ for each in gc.garbage}
            gc.set_debug(0)
            gc.garbage.clear()
            assert not kinds & {"RequestHandler", "WebSocketResponse", "WebSocket", "AsyncSocket", "Request"}

    asyncio.run(scenario())
