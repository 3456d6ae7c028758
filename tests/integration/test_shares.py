"""A client's share of both front doors: connections, requests at work, and files to open."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.integration.connections import Connection, Gateway, another_gateway
from tests.integration.notifiers import another_notifier
from tests.platforms import FullDeployment
from tests.processes import wait_until

GREEDY, OTHER, PERSON = "127.0.0.2", "127.0.0.3", "127.0.0.1"
MOST, OF_ONE, AT_WORK = 40, 30, 5
INVITED = b"Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"


@pytest.fixture(scope="module")
def gateway(full_deployment: FullDeployment) -> Iterator[str]:
    settings = {
        "GATEWAY_CONNECTIONS": str(MOST),
        "GATEWAY_ADDRESS_CONNECTIONS": str(OF_ONE),
        "GATEWAY_ADDRESS_REQUESTS": str(AT_WORK),
    }
    with another_gateway(full_deployment, **settings) as started:
        started.wait_for("/health/ready")
        yield started.url


@pytest.fixture(scope="module")
def notifier(full_deployment: FullDeployment) -> Iterator[str]:
    settings = {
        "NOTIFIER_CONNECTIONS": str(MOST),
        "NOTIFIER_ADDRESS_CONNECTIONS": str(OF_ONE // 2),
    }
    with another_notifier(full_deployment, **settings) as (_, url):
        yield url


@pytest.fixture(params=["gateway", "notifier"])
def door(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is opened in it is closed after the test, and counted no more at the door when the next begins."""
    with ExitStack() as opened:
        yield opened


def come(stack: ExitStack, url: str, source: str) -> Connection:
    connection = Connection(url, source=source)
    stack.callback(connection.leave)
    return connection


def crowd(stack: ExitStack, url: str, source: str, count: int) -> list[Connection]:
    """Connections that have each asked once, in this order, and are idle since."""
    opened = []
    for _ in range(count):
        connection = come(stack, url, source)
        assert connection.ask("/health/live").answer().status == 200
        opened.append(connection)
    return opened


def still_open(connections: list[Connection]) -> int:
    return sum(connection.is_silent for connection in connections)


def test_beyond_its_share_a_client_loses_its_own_longest_idle(door: str, stack: ExitStack) -> None:
    others = crowd(stack, door, OTHER, 5)
    greedy = crowd(stack, door, GREEDY, OF_ONE + 3)
    wait_until(lambda: still_open(greedy) == OF_ONE, 5, "three are ended")
    assert still_open(greedy[3:]) == OF_ONE
    assert still_open(others) == 5


def test_where_all_is_full_the_longest_idle_goes_of_who_holds_most(door: str, stack: ExitStack) -> None:
    others = crowd(stack, door, OTHER, MOST - OF_ONE)
    greedy = crowd(stack, door, GREEDY, OF_ONE)
    people = crowd(stack, door, PERSON, 5)
    wait_until(lambda: still_open(greedy) == OF_ONE - 5, 5, "five are ended")
    assert still_open(greedy[5:]) == OF_ONE - 5
    assert (still_open(others), still_open(people)) == (MOST - OF_ONE, 5)


def test_a_thousand_connections_that_say_nothing_keep_nobody_out(door: str, stack: ExitStack) -> None:
    for _ in range(1000):
        connection = come(stack, door, GREEDY)
        connection.send(b"GET / HTTP/1.1\r\n")
    assert len(crowd(stack, door, PERSON, 5)) == 5


def test_requests_beyond_a_clients_share_are_429_at_once(gateway: str, stack: ExitStack) -> None:
    for _ in range(AT_WORK):
        connection = come(stack, gateway, GREEDY)
        connection.ask("/api/movies", INVITED, "POST")
        assert connection.socket.recv(100).startswith(b"HTTP/1.1 100 ")
    with Connection(gateway, source=GREEDY) as one_more:
        answer = one_more.ask("/api/movies?limit=1").answer()
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert answer.body["request_id"] == answer.headers["x-request-id"]
        assert one_more.ask("/health/live").answer().status == 200, "and it goes on"
    with Connection(gateway, source=OTHER) as other:
        assert other.ask("/api/movies?limit=1").answer().status == 200


def test_an_idle_connection_at_the_notifier_ends_in_time(
    full_deployment: FullDeployment, stack: ExitStack
) -> None:
    with another_notifier(full_deployment, NOTIFIER_IDLE_TIMEOUT="2") as (_, url):
        (idle,) = crowd(stack, url, PERSON, 1)
        assert idle.ended()


@contextmanager
def few_files(soft: int) -> Iterator[int]:
    """Processes that are started meanwhile begin with so few; yields how many they may raise that to."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        yield hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


@pytest.mark.parametrize("role", ["gateway", "notifier"])
def test_without_a_file_to_open_a_door_waits_and_says_so_once(
    full_deployment: FullDeployment, stack: ExitStack, role: str
) -> None:
    with few_files(512) as hard:
        if role == "gateway":
            running = stack.enter_context(another_gateway(full_deployment))
            running.wait_for("/health/ready")
        else:
            process, url = stack.enter_context(another_notifier(full_deployment))
            running = Gateway(url, process)
    pid = running.process.pid
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (hard, hard)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")) + 5, hard))
    with ExitStack() as crowded:
        for _ in range(100):
            crowded.enter_context(Connection(running.url))
        wait_until(lambda: "no connection could be taken in" in running.process.tail(), 5, "it runs out")
        before = running.process.log.stat().st_size
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
    wait_until(lambda: running.status("/health/ready") == 200, 10, "it serves again")
    assert running.process.log.read_text().count("no connection could be taken in") == 1
    assert running.process.log.stat().st_size - before < 10_000
