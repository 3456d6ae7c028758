"""What is a request, where it ends, and what is none: RFC 9112's cases at both front doors."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http.client import BadStatusLine, HTTPResponse, IncompleteRead
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.integration.framing import CASES, ENDS, Case
from tests.platforms import FullDeployment

WAIT_SECONDS = 12  # a door may wait for some seconds for what a client still sends
DOORS = ("gateway", "notifier")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]  # names in small letters
    body: bytes
    closes: bool  # says that it is the last


class _Received(BytesIO):
    """All that a connection brought, as http.client wants it; no answer takes the next one with it."""

    def makefile(self, *_: Any) -> _Received:
        return self

    def close(self) -> None:
        """http.client closes after each answer."""


def exchange(url: str, case: Case) -> bytes:
    """All that comes until the server ends the connection. TimeoutError where it does not."""
    address = urlsplit(url)
    received = b""
    with socket.create_connection((address.hostname, address.port), timeout=WAIT_SECONDS) as connection:
        with suppress(ConnectionError):  # a server need not read on what it has refused
            connection.sendall(case.sent + (case.behind or b""))
            if case.behind is None:
                connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                received += chunk
    return received


@cache
def answers(url: str, case: Case) -> list[Answer]:
    """The final ones to the case and to what follows it. Fails where the connection stays, or has no HTTP."""
    try:
        received = exchange(url, case)
    except TimeoutError:
        pytest.fail("the connection is still there")
    try:
        return list(_read(_Received(received), len(received), case.method))
    except (BadStatusLine, IncompleteRead, ValueError) as error:
        pytest.fail(f"no HTTP: {error!r} in {received[:200]!r}")


def _read(stream: _Received, size: int, method: str) -> Iterator[Answer]:
    """The first is to `method`, the others to what has an answer with a body."""
    while stream.tell() < size:
        response = HTTPResponse(stream, method=method)  # type: ignore[arg-type]
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        closes = response.will_close
        yield Answer(response.status, headers, response.read(), closes)
        method = "GET"


@pytest.fixture(params=DOORS)
def url(full_deployment: FullDeployment, request: pytest.FixtureRequest) -> str:
    """Of each front door."""
    urls = full_deployment.gateways if request.param == "gateway" else full_deployment.notifiers
    return urls[0]


every_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


@every_case
def test_a_request_is_what_rfc_9112_says(url: str, case: Case) -> None:
    got = answers(url, case)
    if not got and case.silent:
        return
    statuses = [answer.status for answer in got]
    assert got, "no answer"
    assert statuses[0] in case.first, statuses
    if statuses[0] in ENDS or case.rest == ():
        assert len(statuses) == 1, f"what follows was answered: {statuses}"
        assert got[0].closes or case.behind is None
    elif case.rest is None:
        assert statuses[1:] in ([], [200]), statuses
    else:
        assert len(statuses) == 1 + len(case.rest), statuses
        wanted = zip(statuses[1:], case.rest, strict=True)
        assert all(status in (case.first if rest == 0 else {rest}) for status, rest in wanted), statuses


@every_case
def test_a_refusal_is_json_at_either_door(url: str, case: Case) -> None:
    for answer in answers(url, case):
        if answer.status < 400 or case.method == "HEAD":
            continue
        assert answer.headers["content-type"].startswith("application/json"), answer
        body = json.loads(answer.body)
        assert {"message", "request_id"} <= set(body), body
        assert answer.headers["x-request-id"] == body["request_id"]


def test_the_cases_have_names_of_their_own() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
