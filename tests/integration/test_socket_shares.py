"""What one user, or one address, has of a notifier over all their sockets, and the longest of events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from broker.config import Settings
from notifications.limits import Backlog, Limits, Share, Shares
from notifications.sockets import Json, socket_server
from tests.clients import Account, Listener, sign_up
from tests.integration.notifiers import another_notifier
from tests.integration.test_resume import Reader, Room
from tests.integration.test_socket_limits import polling
from tests.platforms import FullDeployment
from tests.raw_sockets import RawSocket, event, running

RATE = 20
SOCKETS = 20
EMOJI = "\U0001f600"
LONGEST = {"title": EMOJI * 200, "body": EMOJI * 20_000}
LIMITS = Limits.of(Settings())


@pytest.fixture(scope="module")
def notifier(full_deployment: FullDeployment) -> Iterator[str]:
    settings = {"NOTIFIER_MESSAGE_RATE": str(RATE), "NOTIFIER_ADDRESS_RATE": "100"}
    with another_notifier(full_deployment, **settings) as (_, url):
        yield url


@pytest.fixture(scope="module")
def talker(full_deployment: FullDeployment) -> Account:
    return sign_up(full_deployment.gateways[0])


@pytest.fixture(scope="module")
def other(full_deployment: FullDeployment) -> Account:
    return sign_up(full_deployment.gateways[0])


async def signed_in(notifier: str, account: Account | None) -> RawSocket:
    opened = await RawSocket.open(int(notifier.rpartition(":")[2]))
    assert (await opened.text()).startswith("0{")
    opened.send("40" + (json.dumps({"token": account.token}) if account else ""))
    assert (await opened.text()).startswith("40{")
    return opened


async def answer(socket: RawSocket, number: int) -> None:
    while not (await socket.text()).startswith(f"43{number}["):
        pass


def request(account: Account | None, room: str, **more: str) -> dict[str, Any]:
    return {"user_id": account.id if account else "guest", "room_id": room, **more}


# First: what the floods below have asked too early is waited for by whoever comes from their address next.


def longest(room: Room, count: int) -> list[dict[str, Any]]:
    return [room.envelope(**LONGEST) for _ in range(count)]


def test_the_longest_events_are_replayed_to_whoever_missed_them(
    full_deployment: FullDeployment, notifier: str
) -> None:
    """Six megabytes, more than may wait for anybody."""
    room = Room(full_deployment.servers.amqp, full_deployment)
    with Reader(notifier, room.name) as reader:
        (before,) = room.announce(1)
        assert reader.hear(1) == [before]
    missed = longest(room, 70)
    room.publish(*missed)
    with Reader(notifier, room.name, before) as reader:
        assert reader.joined["recovered"] is True
        heard = [reader.told.get(timeout=10) for _ in missed]
    assert [each["event_id"] for each in heard] == [each["id"] for each in missed]
    assert heard[-1]["review"]["body"] == LONGEST["body"]


def test_the_longest_events_at_once_cut_nobody_off_who_reads(
    full_deployment: FullDeployment, notifier: str
) -> None:
    room = Room(full_deployment.servers.amqp, full_deployment)
    with Reader(notifier, room.name) as reader:
        told = longest(room, 30)
        room.publish(*told)
        assert [reader.told.get(timeout=10)["event_id"] for _ in told] == [each["id"] for each in told]


@pytest.mark.parametrize("kind", ["messages", "joins and leaves"])
def test_twenty_sockets_of_a_user_say_no_more_than_one(
    notifier: str, talker: Account, other: Account, kind: str
) -> None:
    async def talk() -> float:
        sockets = [await signed_in(notifier, talker) for _ in range(SOCKETS)]
        began = time.monotonic()
        for socket in sockets:
            socket.send(event("join_notification", request(talker, "all"), number=0))
            for number in range(1, 7):
                if kind == "messages":
                    said = event("message", request(talker, "all", message="again"), number=number)
                else:
                    name = "leave_notification" if number % 2 else "join_notification"
                    said = event(name, request(talker, "all"), number=number)
                socket.send(said)
        await asyncio.gather(*(answer(socket, 6) for socket in sockets))
        took = time.monotonic() - began
        for socket in sockets:
            socket.close()
        return took

    with Listener(notifier, other.token) as listener:
        listener.call("join_notification", user_id=other.id, room_id="all")
        took = asyncio.run(talk())
        # Twenty times seven, of which what two seconds are worth may come at once.
        assert took > (SOCKETS * 7 - 2 * RATE) / RATE - 1
        # Whoever else speaks need not wait for them.
        began = time.monotonic()
        listener.call("message", user_id=other.id, room_id="all", message="mine")
        assert time.monotonic() - began < 1


def test_connecting_again_buys_no_new_share(notifier: str, full_deployment: FullDeployment) -> None:
    account = sign_up(full_deployment.gateways[0])

    async def visit() -> None:
        socket = await signed_in(notifier, account)
        socket.send(event("join_notification", request(account, "42"), number=0))
        for number in range(1, 20):
            socket.send(event("message", request(account, "42", message="again"), number=number))
        await answer(socket, 19)
        socket.close()

    async def visits() -> float:
        began = time.monotonic()
        for _ in range(6):
            await visit()
        return time.monotonic() - began

    assert asyncio.run(visits()) > (6 * 20 - 2 * RATE) / RATE - 1


def test_sockets_without_a_token_have_the_share_of_their_address(notifier: str) -> None:
    async def wander() -> float:
        sockets = [await signed_in(notifier, None) for _ in range(SOCKETS)]
        began = time.monotonic()
        for socket in sockets:
            for number in range(20):
                socket.send(event("join_notification", request(None, f"{number + 1}"), number=number))
        await asyncio.gather(*(answer(socket, 19) for socket in sockets))
        took = time.monotonic() - began
        for socket in sockets:
            socket.close()
        return took

    assert asyncio.run(wander()) > (SOCKETS * 20 - 2 * 100) / 100 - 1


def test_letters_go_out_as_they_are_but_for_what_utf_8_cannot_hold() -> None:
    assert Json.dumps({"body": EMOJI + "é\x00"}) == '{"body": "' + EMOJI + 'é\\u0000"}'
    assert Json.dumps(["\ud83d"]) == '["\\ud83d"]'
    assert len(Json.dumps(LONGEST).encode()) < 82_000


class Transport:
    """What a backlog asks of one."""

    def __init__(self) -> None:
        self.waiting = 0

    def get_write_buffer_size(self) -> int:
        return self.waiting


def slow(share: Share, size: int) -> tuple[Transport, Backlog]:
    transport = Transport()
    backlog = Backlog(transport, LIMITS)  # type: ignore[arg-type]
    transport.waiting = size
    return transport, backlog


def test_what_waits_for_all_sockets_of_a_user_is_bounded() -> None:
    share = Share(10, most_bytes=1_000_000)
    sockets = [slow(share, 300_000) for _ in range(4)]
    assert [backlog.admits([b"x"], share) for _, backlog in sockets] == [True, True, True, False]
    sockets[0][0].waiting = 0  # its client has read
    assert sockets[3][1].admits([b"x"], share)
    share.forget(sockets[1][1])  # and that one is gone
    assert slow(share, 300_000)[1].admits([b"x"], share)
    assert not slow(share, 300_000)[1].admits([b"x"], share)
    assert Share(10, most_bytes=1_000_000).admits(sockets[3][1], 300_000)


def test_each_user_and_each_address_has_one_share() -> None:
    shares = Shares(LIMITS)
    assert shares.of_user(1) is shares.of_user(1)
    assert shares.of_user(1) is not shares.of_user(2)
    assert shares.of_address("::1") is shares.of_address("::1")
    assert shares.of_address("1") is not shares.of_user(1)


def test_what_waits_for_long_polling_clients_of_an_address_is_bounded_too() -> None:
    """None of them is over its own limit."""

    async def scenario() -> None:
        async with (
            running(socket_server(Settings(NOTIFIER_SHARE_BYTES=2**20))) as served,
            aiohttp.ClientSession() as http,
        ):
            for _ in range(4):
                await polling(http, served.port)
            assert served.in_room() == 4
            for _ in range(45):
                await served.tell("x" * 10_000)
            assert served.in_room() in (2, 3)

    asyncio.run(scenario())
