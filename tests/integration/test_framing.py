"""Where a request begins and ends, by RFC 9112: the same at both front doors.

Behind each case comes another request, as it would be hidden from a proxy; nobody may answer it.
"""

from __future__ import annotations

import json
import socket
from urllib.parse import urlsplit

import pytest

from tests.integration.connections import Connection
from tests.platforms import FullDeployment

HOST = b"Host: a\r\n"
HIDDEN = b"GET /health/live HTTP/1.1\r\nHost: hidden\r\n\r\n"
CHUNKED = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def get(more: bytes = HOST, line: bytes = b"GET /health/live HTTP/1.1") -> bytes:
    return line + b"\r\n" + more + b"\r\n"


def post(more: bytes, body: bytes = b"") -> bytes:
    return b"POST /x HTTP/1.1\r\n" + HOST + more + b"\r\n" + body


REFUSED: dict[str, tuple[bytes, int]] = {
    "no Host": (get(b""), 400),
    "two Hosts": (get(HOST + b"Host: b\r\n"), 400),
    "two Hosts alike": (get(HOST + HOST), 400),
    **{
        f"Host {host!a}": (get(b"Host: " + host + b"\r\n"), 400)
        for host in [
            b"",
            b"a b",
            b"a/b",
            b"a@b",
            b"a, b",
            b"a:b",
            b"a:1:2",
            b"[::1",
            b"a\\b",
            b"a<b>",
            b"caf\xc3\xa9",
        ]
    },
    **{
        f"{bytes([code])!a} in a header": (get(HOST + b"X: a" + bytes([code]) + b"b\r\n"), 400)
        for code in [0, 1, 7, 8, 11, 12, 13, 27, 127]
    },
    **{
        f"{bytes([code])!a} in a header's name": (get(HOST + b"X" + bytes([code]) + b"Y: b\r\n"), 400)
        for code in [0, 9, 27, 32, 34, 40, 44, 47, 59, 61, 64, 91, 127, 200]
    },
    "blank before the colon": (post(b"Content-Length : 5\r\n", b"hello"), 400),
    "tab before the colon": (get(HOST + b"X\t: y\r\n"), 400),
    "no colon": (post(b"nothing\r\nContent-Length: 5\r\n", b"hello"), 400),
    "no name": (get(HOST + b": x\r\n"), 400),
    "folded by a blank": (get(HOST + b"X: a\r\n b\r\n"), 400),
    "folded by a tab": (get(HOST + b"X: a\r\n\tb\r\n"), 400),
    "folded first": (get(b" X: a\r\n" + HOST), 400),
    "bare LF after the line": (b"GET /health/live HTTP/1.1\n" + HOST + b"\r\n", 400),
    "bare LF after a header": (b"GET /health/live HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    "bare LF at the end": (b"GET /health/live HTTP/1.1\r\nHost: a\r\n\n", 400),
    "bare LF before": (b"\n" + get(), 400),
    "bare CR before": (b"\r" + get(), 400),
    "length and chunks": (post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    "chunks and length": (post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"), 400),
    "two lengths": (post(b"Content-Length: 1\r\nContent-Length: 2\r\n", b"xy"), 400),
    "two lengths alike": (post(b"Content-Length: 1\r\nContent-Length: 1\r\n", b"x"), 400),
    **{
        f"length {length!a}": (post(b"Content-Length: " + length + b"\r\n", b"x"), 400)
        for length in [b"", b"+1", b"-1", b"1_0", b"0x1", b"1 1", b"1, 1", b"1.0", b"one", b"\xd9\xa1"]
    },
    "length beyond all bounds": (post(b"Content-Length: " + b"9" * 30 + b"\r\n"), 413),
    **{
        f"coding {coding!a}": (post(b"Transfer-Encoding: " + coding + b"\r\n", b"0\r\n\r\n"), status)
        for coding, status in [
            (b"gzip, chunked", 501),
            (b"chunked, gzip", 400),
            (b"identity", 400),
            (b"gzip", 400),
            (b"chunked, chunked", 400),
            (b"xchunked", 400),
            (b"\x0bchunked", 400),
            (b"chunked,", 400),
            (b"", 501),
        ]
    },
    "two codings": (post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    "chunks in HTTP/1.0": (
        b"POST /x HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    **{
        f"{bytes([code])!a} in the address": (get(line=b"GET /a" + bytes([code]) + b"b HTTP/1.1"), 400)
        for code in [0, 9, 11, 13, 27, 32, 127]
    },
    "fragment": (get(line=b"GET /health/live#x HTTP/1.1"), 400),
    "two blanks": (get(line=b"GET  /health/live HTTP/1.1"), 400),
    "two blanks later": (get(line=b"GET /health/live  HTTP/1.1"), 400),
    "blank at the end": (get(line=b"GET /health/live HTTP/1.1 "), 400),
    "relative address": (get(line=b"GET health/live HTTP/1.1"), 400),
    "no address": (get(line=b"GET HTTP/1.1"), 400),
    "asterisk": (get(line=b"GET * HTTP/1.1"), 400),
    "another scheme": (get(line=b"GET ftp://a/health/live HTTP/1.1"), 400),
    "user in the address": (get(line=b"GET http://u@a/health/live HTTP/1.1"), 400),
    "proxy": (get(line=b"CONNECT a:80 HTTP/1.1"), 501),
    "escape in the method": (get(line=b"G\x1bT /health/live HTTP/1.1"), 400),
    "small letters": (get(line=b"get /health/live HTTP/1.1"), 501),
    "unknown method": (get(line=b"FETCH /health/live HTTP/1.1"), 501),
    **{
        f"version {version!a}": (get(line=b"GET /health/live " + version), status)
        for version, status in [
            (b"HTTP/0.9", 505),
            (b"HTTP/1.2", 505),
            (b"HTTP/2.0", 505),
            (b"HTTP/3.0", 505),
            (b"HTTP/1", 400),
            (b"HTTP/01.1", 400),
            (b"HTTP/1.1x", 400),
            (b"http/1.1", 400),
            (b"RTSP/1.0", 400),
            (b"ICE/1.0", 400),
        ]
    },
    "HTTP/0.9": (b"GET /health/live\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32 + b"\r\n\r\n", 400),
}
BAD_CHUNKS = {
    f"{size!a}": CHUNKED + size + b"\r\nhello\r\n0\r\n\r\n"
    for size in [
        b"0x5",
        b"+5",
        b"-5",
        b"0_5",
        b" 5",
        b"5 ",
        b"5 ;x",
        b"",
        b"g",
        b"f" * 17,
        b"5;\x1b",
        b"5;a\nb",
    ]
} | {
    "bare LF after a size": CHUNKED + b"5\nhello\r\n0\r\n\r\n",
    "bare LF after a chunk": CHUNKED + b"5\r\nhello\n0\r\n\r\n",
    "longer than it says": CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n",
    "blank in a trailer": CHUNKED + b"5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    "length in a trailer": CHUNKED + b"5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n",
}


@pytest.fixture(params=["gateway", "notifier"])
def door(request: pytest.FixtureRequest, full_deployment: FullDeployment) -> str:
    urls = full_deployment.gateways if request.param == "gateway" else full_deployment.notifiers
    return urls[0]


def all_that_comes(door: str, *pieces: bytes) -> bytes:
    """What is answered to `pieces`, each a segment of its own, until the connection ends."""
    address = urlsplit(door)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        for piece in pieces:
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def assert_refused_alone(answer: bytes, status: int) -> None:
    """Assert that it is one refusal, in JSON, and the end of the connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"\r\nConnection: close" in head
    assert b"\r\nContent-Type: application/json" in head
    refusal = json.loads(body)
    assert set(refusal) - {"errors"} == {"message", "request_id"}
    assert f"X-Request-ID: {refusal['request_id']}".encode() in head


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_request_ends_the_connection(door: str, name: str) -> None:
    sent, status = REFUSED[name]
    assert_refused_alone(all_that_comes(door, sent + HIDDEN), status)


@pytest.mark.parametrize("name", ["no Host", "blank before the colon", "no colon", "fragment", "HTTP/2"])
def test_it_does_so_in_however_many_pieces_it_comes(door: str, name: str) -> None:
    sent, status = REFUSED[name]
    assert_refused_alone(all_that_comes(door, *(bytes([byte]) for byte in sent), HIDDEN), status)


@pytest.mark.parametrize("name", BAD_CHUNKS)
@pytest.mark.parametrize("path", ["/api/auth/login", "/socket.io/?EIO=4&transport=polling"])
def test_a_body_that_has_no_sure_end_ends_the_connection(
    full_deployment: FullDeployment, path: str, name: str
) -> None:
    door = full_deployment.gateways[0] if path.startswith("/api") else full_deployment.notifiers[0]
    sent = BAD_CHUNKS[name].replace(b"/x", path.encode())
    assert_refused_alone(all_that_comes(door, sent + HIDDEN), 400)


@pytest.mark.parametrize(
    "sent",
    [
        get(),
        b"\r\n" + get(),
        b"\r\n\r\n" + get(),
        get(b"Host: movies_gateway:8000\r\n"),
        get(b"Host: [::1]:8000\r\n"),
        get(b"Host: a\r\nX: \t caf\xe9 \t\r\n"),
        get(line=b"GET http://a.example/health/live HTTP/1.1"),
        get(line=b"GET HTTP://a.example:80/health/live?x=y HTTP/1.1"),
        get(line=b"GET /health/live?q=caf\xc3\xa9 HTTP/1.1"),
        get(b"Host: a\r\nTransfer-Encoding: chunked\r\n") + b"5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n",
        get(b"", b"GET /health/live HTTP/1.0"),
    ],
)
def test_what_is_a_request_is_answered(door: str, sent: bytes) -> None:
    assert all_that_comes(door, sent).splitlines()[0] in (b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK")


def test_requests_one_behind_the_other_are_all_answered(door: str) -> None:
    body = b"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    sent = (get() + b"\r\n" + get() + body) * 100
    answer = all_that_comes(door, sent[:50], sent[50:7001], sent[7001:])
    assert (answer.count(b"HTTP/1.1 200 "), answer.count(b"HTTP/1.1 404 ")) == (200, 100)


def test_options_of_everything(door: str) -> None:
    with Connection(door) as connection:
        head = connection.ask("*", method="OPTIONS").socket.recv(65536)
    assert head.startswith(b"HTTP/1.1 204 ")
    assert b"\r\nAllow: " in head
