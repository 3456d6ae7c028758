"""What the gateway refuses before there is a request: JSON, as every other error."""

from __future__ import annotations

import json
import socket
from urllib.parse import urlsplit

import pytest

from tests.platforms import FullDeployment

LONG = b"x" * 20_000


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"GET /api/movies?title=" + LONG + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, id="address"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + LONG + b"\r\n\r\n", 431, id="header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-Many: y\r\n" * 9000 + b"\r\n", 431, id="headers"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, id="length"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400, id="length with a sign"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            400,
            id="two lengths",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, id="coding"
        ),
        pytest.param(b"no such protocol\r\n\r\n", 400, id="protocol"),
        pytest.param(b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505, id="version"),
    ],
)
def test_what_is_no_request_is_refused_in_json(
    full_deployment: FullDeployment, sent: bytes, status: int
) -> None:
    address = urlsplit(full_deployment.gateways[0])
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(sent)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    refusal = json.loads(body)
    assert set(refusal) == {"message", "request_id"}
    assert f"X-Request-ID: {refusal['request_id']}".encode() in head
