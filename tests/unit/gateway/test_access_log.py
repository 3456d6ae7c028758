from __future__ import annotations

import logging

import pytest

from gateway.access_log import MOST_CLIENTS, AccessLog
from gateway.requests import Request
from tests.unit.clock import Clock

RATE = 5


@pytest.fixture
def log(clock: Clock, caplog: pytest.LogCaptureFixture) -> AccessLog:
    caplog.set_level(logging.INFO, "gateway.access")
    return AccessLog(RATE, clock)


def asked(address: str) -> Request:
    return Request("GET", "/api/movies/1?q=secret", {"X-Request-ID": "an-id-of-ours"}, address)


def test_a_line_says_who_asked_for_what(
    log: AccessLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    log.tell(asked("127.0.0.1"), 200, clock.now - 0.25)
    assert caplog.messages == ["GET /api/movies/1 200 250 ms an-id-of-ours"]


def test_a_client_has_so_many_lines_a_second_and_then_one_for_the_rest(
    log: AccessLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        for _ in range(1000):
            log.tell(asked("127.0.0.2"), 429, clock.now)
        log.tell(asked("127.0.0.1"), 200, clock.now)
        clock.now += 1
    log.tell(asked("127.0.0.1"), 200, clock.now)
    told = [line for line in caplog.messages if line.startswith(f"{1000 - RATE} more requests of 127.0.0.2")]
    assert len(told) == 3
    assert len(caplog.messages) == 3 * (RATE + 1 + 1) + 1


def test_clients_without_number_share_what_one_has(
    log: AccessLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3 * MOST_CLIENTS):
        log.tell(asked(f"10.0.{number // 250}.{number % 250}"), 200, clock.now)
    assert len(caplog.messages) == MOST_CLIENTS + RATE
    log.tell_rest()
    assert caplog.messages[-1] == f"{2 * MOST_CLIENTS - RATE} more requests of others"
