"""What one client may take of a gateway: bytes, connections and time, on one with little patience."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.clients import Account, sign_up
from tests.integration.connections import Answer, Connection, Gateway, another_gateway, frozen
from tests.platforms import FullDeployment
from tests.processes import wait_until

CONNECTIONS = 130
RPC_SECONDS = 2.0
JSON_BODY = b"Content-Type: application/json\r\n"
LINE = b"X-Long: " + b"y" * 7000 + b"\r\n"
# Of a key that nobody has: {"alg": "EdDSA", "kid": "unknown"}, {}, and no signature.
UNKNOWN_KEY = b"Authorization: Bearer eyJhbGciOiJFZERTQSIsImtpZCI6InVua25vd24ifQ.e30.AAAA\r\n"


@pytest.fixture(scope="module")
def gateway(full_deployment: FullDeployment) -> Iterator[Gateway]:
    settings = {
        "GATEWAY_CONNECTIONS": str(CONNECTIONS),
        "GATEWAY_ADDRESS_CONNECTIONS": str(CONNECTIONS),
        "GATEWAY_ADDRESS_REQUESTS": str(CONNECTIONS),
        "GATEWAY_HEADERS_TIMEOUT": "2",
        "GATEWAY_BODY_TIMEOUT": "2",
        "GATEWAY_SEND_TIMEOUT": "1",
        "GATEWAY_IDLE_TIMEOUT": "3",
        "RPC_TIMEOUT": str(RPC_SECONDS),
    }
    with another_gateway(full_deployment, **settings) as started:
        started.wait_for("/health/ready")
        yield started


@pytest.fixture
def connection(gateway: Gateway) -> Iterator[Connection]:
    with Connection(gateway.url) as connected:
        yield connected


@pytest.fixture(scope="module")
def account(full_deployment: FullDeployment) -> Account:
    return sign_up(full_deployment.gateways[0])


def assert_refused(connection: Connection, answer: Answer, status: int) -> None:
    assert answer.status == status
    assert set(answer.body) == {"message", "request_id"}
    assert answer.headers["x-request-id"] == answer.body["request_id"]
    assert answer.closes
    assert connection.ended()


def test_headers_of_32_kib_are_read(connection: Connection) -> None:
    assert connection.ask("/health/live", LINE * 4).answer().status == 200


def test_headers_above_32_kib_are_refused(connection: Connection) -> None:
    assert_refused(connection, connection.ask("/health/live", LINE * 5).answer(), 431)


# What a slow client sends at once, and what it goes on sending, a little at a time.
SLOW = {
    "first line": (b"GET /", b"y"),
    "headers": (b"GET /health/live HTTP/1.1\r\nX-Slow: ", b"y"),
    "headers in lines": (b"GET /health/live HTTP/1.1\r\n", b"X-Slow: y\r\n"),
    "body": (b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", b" "),
    "body in chunks": (
        b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\n \r\n",
    ),
    "body that never begins": (
        b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
        b"",
    ),
    "body without a route": (b"POST /api/unknown HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", b" "),
}


@pytest.fixture(scope="module")
def slow(gateway: Gateway) -> Iterator[dict[str, Connection]]:
    """The slow clients, once an answer or an end has come to each of them."""
    with ExitStack() as stack:
        clients = {name: stack.enter_context(Connection(gateway.url)) for name in SLOW}
        for name, client in clients.items():
            client.send(SLOW[name][0])
        deadline = time.monotonic() + 20
        while waiting := [name for name, client in clients.items() if client.is_silent]:
            assert time.monotonic() < deadline, f"still waited for: {waiting}"
            for name in waiting:
                clients[name].send(SLOW[name][1])
            time.sleep(0.1)
        yield clients


@pytest.mark.parametrize("name", SLOW)
def test_a_client_that_drips_is_cut(slow: dict[str, Connection], name: str) -> None:
    assert_refused(slow[name], slow[name].answer(), 408)


def test_a_chunk_whose_size_has_no_end_is_refused(connection: Connection) -> None:
    connection.ask("/api/auth/login", JSON_BODY + b"Transfer-Encoding: chunked\r\n", "POST")
    assert_refused(connection, connection.send(b"1;" + b"x" * 9 * 1024 * 1024).answer(), 413)


def test_a_body_said_to_be_too_large_is_refused_unread(connection: Connection) -> None:
    length = b"Content-Length: 999999999999999999999\r\nExpect: 100-continue\r\n"
    assert_refused(connection, connection.ask("/api/auth/login", JSON_BODY + length, "POST").answer(), 413)


def test_a_body_that_is_expected_is_asked_for(connection: Connection) -> None:
    headers = JSON_BODY + b"Content-Length: 2\r\nExpect: 100-continue\r\n"
    connection.ask("/api/auth/login", headers, "POST")
    assert connection.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert connection.send(b"{}").answer().status == 400


def test_headers_that_end_in_the_middle_are_no_request(connection: Connection, account: Account) -> None:
    movie = account.api.create_movie()
    token = f"Authorization: Bearer {account.token}\r\n".encode()
    connection.send(f"DELETE /api/movies/{movie} HTTP/1.1\r\n".encode() + token + b"X-More: ")
    connection.socket.shutdown(1)
    assert connection.ended()
    assert account.api.get(f"/api/movies/{movie}").status_code == 200


def test_a_connection_that_says_nothing_or_no_more_is_closed(gateway: Gateway) -> None:
    with Connection(gateway.url) as silent, Connection(gateway.url) as idle:
        for _ in range(2):
            assert not idle.ask("/health/live").answer().closes
        assert silent.ended()
        assert idle.ended()


def test_a_client_that_does_not_read_its_answers_is_cut(gateway: Gateway, account: Account) -> None:
    movie = account.api.create_movie(description="\N{CLAPPER BOARD}" * 10_000)
    with Connection(gateway.url, window=4096) as connection:
        # More than the kernel takes in for a client that reads nothing.
        for _ in range(250):
            connection.ask(f"/api/movies/{movie}")
        connection.wait_until_reset()


def test_one_connection_too_many_is_answered_and_closed(gateway: Gateway) -> None:
    invited = JSON_BODY + b"Content-Length: 2\r\nExpect: 100-continue\r\n"
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            at_work = stack.enter_context(Connection(gateway.url)).ask("/api/movies", invited, "POST")
            assert at_work.socket.recv(100).startswith(b"HTTP/1.1 100 ")
        one_more = stack.enter_context(Connection(gateway.url))
        answer = one_more.ask("/health/live").answer()
        assert_refused(one_more, answer, 503)
        assert answer.headers["retry-after"]
    wait_until(lambda: gateway.status("/health/live") == 200, 5, "there is room again")


def test_calls_that_hang_are_all_answered_in_time_and_the_gateway_stays_live(
    full_deployment: FullDeployment, gateway: Gateway
) -> None:
    with frozen(full_deployment, "movies"), ExitStack() as stack:
        began = time.monotonic()
        hanging = [stack.enter_context(Connection(gateway.url)).ask("/api/movies/1") for _ in range(100)]
        assert gateway.status("/health/live") == 200
        assert gateway.status("/api/unknown") == 404
        assert all(each.is_silent for each in hanging)
        assert {each.answer().status for each in hanging} == {504}
        # None of them waited for another.
        assert time.monotonic() - began < 2 * RPC_SECONDS


def test_an_unknown_key_waits_for_auth_no_longer_than_a_request_may(
    full_deployment: FullDeployment, connection: Connection
) -> None:
    with frozen(full_deployment, "auth"):
        began = time.monotonic()
        assert connection.ask("/api/auth/me", UNKNOWN_KEY).answer().status == 401
        assert time.monotonic() - began < RPC_SECONDS


def test_a_gateway_without_a_file_to_open_serves_again_when_it_has_one(gateway: Gateway) -> None:
    pid = gateway.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")) + 10, hard))
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(Connection(gateway.url))
        wait_until(lambda: "no connection could be taken in" in gateway.process.tail(), 5, "it runs out")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    wait_until(lambda: gateway.status("/api/movies?limit=1") == 200, 10, "it serves again")
