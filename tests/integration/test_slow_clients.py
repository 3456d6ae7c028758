"""A hundred slow clients cost the others nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.clients import Account, sign_up
from tests.integration.connections import Connection
from tests.platforms import FullDeployment

EACH = 25
REQUESTS = 20


@pytest.fixture
def account(full_deployment: FullDeployment) -> Account:
    return sign_up(full_deployment.gateways[0])


@pytest.fixture
def movie(account: Account) -> int:
    """One whose JSON has 40 kB."""
    return account.api.create_movie(description="\N{CLAPPER BOARD}" * 10_000)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_others_are_served_while_slow_clients_stay(
    full_deployment: FullDeployment, account: Account, movie: int, stack: ExitStack
) -> None:
    url = full_deployment.gateways[0]
    quiet: list[Connection] = []
    deaf: list[Connection] = []
    for _ in range(EACH):
        quiet.append(stack.enter_context(Connection(url)).send(b"GET /api/movies HTTP/1.1\r\nX-Slow: y"))
        body = b"Content-Type: application/json\r\nContent-Length: 100\r\n"
        quiet.append(
            stack.enter_context(Connection(url)).ask("/api/auth/login", body, "POST").send(b'{"email": ')
        )
        quiet.append(stack.enter_context(Connection(url)))
        # Answers that it does not read, more than the kernel takes in for it.
        deaf.append(stack.enter_context(Connection(url, window=4096)))
    for connection in deaf:
        for _ in range(10):
            connection.ask(f"/api/movies/{movie}")
    for _ in range(REQUESTS // 2):
        assert account.api.get(f"/api/movies/{movie}").json()["id"] == movie
        assert account.api.put(f"/api/movies/{movie}", {"genre": "Drama"}).status_code == 200
    assert all(connection.is_silent for connection in quiet), "all of them are still waited for"
    assert not any(connection.is_silent for connection in deaf), "all of them have something to read"
