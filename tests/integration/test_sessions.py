"""A socket lives no longer than its token, and a user has a bounded number of them."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
import socketio
import uvloop

from auth import domain
from broker.config import Settings
from broker.tokens import Identity, TokenVerifier
from notifications.clients import Clients
from notifications.endings import Endings
from notifications.handlers import Client
from notifications.sockets import ROOT, socket_server
from tests.clients import PASSWORD, Account, Listener, sign_in, sign_up
from tests.contract.listeners import refusal
from tests.integration.notifiers import another_notifier
from tests.platforms import FullDeployment, connect
from tests.raw_sockets import RawSocket, running

CLOSED_SECONDS = 5.0


@pytest.fixture
def user(full_deployment: FullDeployment) -> Account:
    return sign_up(full_deployment.gateways[0])


def short_lived(deployment: FullDeployment, user: Account, seconds: int) -> str:
    """A token of the user's as auth gives them, good for less long."""
    with connect(deployment.databases.auth) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT kid, pem FROM signing_keys WHERE retired_at IS NULL")
        row = cursor.fetchone()
        cursor.execute("SELECT uid, history.id FROM users, history WHERE users.id = %s", [user.id])
        uid, history = cursor.fetchone() or ("", "")
    assert row is not None
    subject = domain.Subject(user.id, uid.replace("-", ""), user.username, history)
    settings = domain.TokenSettings(seconds, deployment.environment["SIGNING_KEY_SECRET"])
    session, now = uuid.uuid4().hex, datetime.now(UTC)
    return domain.access_token(domain.SigningKey(*row), settings, subject, session, now)


def assert_closed(listener: Listener, code: str) -> None:
    """Assert that the stock client is told why, and then Socket.IO's own way that it is disconnected."""
    closed = listener.next("closed")
    assert closed["code"] == code
    assert closed["error"]
    assert listener.next("disconnect") == socketio.Client.reason.SERVER_DISCONNECT


def change_password(user: Account) -> None:
    elsewhere = sign_in(user.api.base, user.email).api
    body = {"password": "another password", "current_password": PASSWORD}
    assert elsewhere.patch("/api/auth/me", body).status_code == 200


def delete_account(user: Account) -> None:
    assert user.delete().status_code == 200


@pytest.mark.parametrize(
    "end", [lambda user: user.api.post("/api/auth/logout"), change_password, delete_account]
)
def test_every_socket_is_closed_when_its_session_ends(
    full_deployment: FullDeployment, user: Account, end: Callable[[Account], object]
) -> None:
    with ExitStack() as stack:
        listeners = [stack.enter_context(Listener(url, user.token)) for url in full_deployment.notifiers]
        end(user)
        ended = time.monotonic()
        for listener in listeners:
            assert_closed(listener, "token_revoked")
        assert time.monotonic() - ended < CLOSED_SECONDS


def test_a_socket_is_closed_when_its_token_expires(full_deployment: FullDeployment, user: Account) -> None:
    token = short_lived(full_deployment, user, 2)
    with (
        Listener(full_deployment.notifiers[0], token) as listener,
        Listener(full_deployment.notifiers[0], user.token) as other,
    ):
        connected = time.monotonic()
        assert_closed(listener, "token_expired")
        assert time.monotonic() - connected < 2 + CLOSED_SECONDS
        assert other.call("room_presence", room_id="all")["room_id"] == "all", "the other one lives"


def test_a_client_that_does_not_close_its_connection_is_hung_up_on(
    full_deployment: FullDeployment, user: Account
) -> None:
    async def packets() -> list[str]:
        """What comes after the connection, until its end."""
        url = f"{full_deployment.notifiers[0]}/socket.io/?EIO=4&transport=websocket"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            await socket.receive_str()
            await socket.send_str("40" + json.dumps({"token": user.token}))
            await socket.receive_str()
            await asyncio.to_thread(user.api.post, "/api/auth/logout")
            async with asyncio.timeout(CLOSED_SECONDS):
                return [message.data async for message in socket]

    told, goodbye = asyncio.run(packets())
    event: Any = json.loads(told.removeprefix("42"))
    assert event[0] == "closed"
    assert event[1]["code"] == "token_revoked"
    assert goodbye == "41"


def test_a_client_that_reads_nothing_is_closed_all_the_same() -> None:
    async def scenario() -> None:
        server = socket_server(Settings(NOTIFIER_CONNECT_TIMEOUT=60))
        async with asyncio.timeout(30), running(server) as served:
            stalled = await RawSocket.join(served.port, receive_buffer=4096)
            (websocket,) = server.eio.websockets.values()
            while not websocket._transport.get_write_buffer_size():
                await served.tell("x" * 100_000)
                await asyncio.sleep(0.005)  # the kernel takes what it can
            ((sid, _),) = server.manager.get_participants(ROOT, "room")
            tokens, clients = TokenVerifier(), Clients(lambda _: [], most_of_user=1)
            clients.add(Client(sid, Identity(7, "anna", "ended", expires_at=4_000_000_000)))
            endings = Endings(server, clients, tokens)
            tokens.revoke("ended", 4_000_000_000)
            endings.check(clients.of_user(7))
            async with asyncio.timeout(CLOSED_SECONDS):
                while served.in_room() or server.eio.websockets:
                    await asyncio.sleep(0.01)
            assert websocket._transport.is_closing()
            assert clients.signed_in() == []
            stalled.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


def test_a_user_has_no_more_connections_than_the_settings_allow(
    full_deployment: FullDeployment, user: Account
) -> None:
    other = sign_up(full_deployment.gateways[0])
    with another_notifier(full_deployment, NOTIFIER_USER_CONNECTIONS="2") as (_, url), ExitStack() as stack:
        first = stack.enter_context(Listener(url, user.token))
        stack.enter_context(Listener(url, user.token))
        assert "2 connections" in refusal(url, {"token": user.token})["message"]
        for token in (other.token, None):
            stack.enter_context(Listener(url, token))
        first.close()
        stack.enter_context(Listener(url, user.token))
