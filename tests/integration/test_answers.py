"""What every answer of both front doors carries, for browsers, caches and proxies."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest
import requests

from tests.clients import Account, sign_up
from tests.integration.connections import Connection, another_gateway
from tests.integration.notifiers import another_notifier
from tests.platforms import FullDeployment
from tests.processes import Process, wait_until

PAGE, ELSEWHERE = "https://films.example", "https://evil.example"
POLLING = "/socket.io/?EIO=4&transport=polling"
SOCKETS = 50
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
}


@pytest.fixture(scope="module")
def gateway(full_deployment: FullDeployment) -> Iterator[tuple[str, Process]]:
    settings = {"GATEWAY_ORIGINS": f"{PAGE}, https://other.example", "GATEWAY_HEADERS_TIMEOUT": "1"}
    with another_gateway(full_deployment, **settings) as started:
        started.wait_for("/health/ready")
        yield started.url, started.process


@pytest.fixture(scope="module")
def notifier(full_deployment: FullDeployment) -> Iterator[tuple[str, Process]]:
    settings = {
        "NOTIFIER_ORIGINS": PAGE,
        "NOTIFIER_CONNECT_TIMEOUT": "1",
        "NOTIFIER_ADDRESS_CONNECTIONS": str(SOCKETS),
    }
    with another_notifier(full_deployment, **settings) as (process, url):
        yield url, process


@pytest.fixture(params=["gateway", "notifier"])
def door(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)[0]
    return url


@pytest.fixture(scope="module")
def account(full_deployment: FullDeployment) -> Account:
    return sign_up(full_deployment.gateways[0])


def ask(url: str, method: str = "GET", **options: object) -> requests.Response:
    return requests.request(method, url, timeout=10, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path", ["/health/live", "/unknown", POLLING, "/api/movies?limit=1", "/api/movies/x"]
)
def test_every_answer_is_what_it_says_and_tells_nothing_of_what_runs_here(door: str, path: str) -> None:
    answer = ask(door + path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in answer.headers
    assert "aiohttp" not in str(answer.headers).lower() + answer.text


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT"])
@pytest.mark.parametrize("path", ["/unknown", "/health", "/%1b%00"])
def test_what_is_not_there_is_404_in_json_at_both(door: str, method: str, path: str) -> None:
    answer = ask(door + path, method, headers={"X-Request-ID": "mine"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/json")
    assert answer.json() == {"message": "There is nothing at this address", "request_id": "mine"}
    assert answer.headers["X-Request-ID"] == "mine"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/socket.io/?EIO=3&transport=polling", 400),
        ("/socket.io/?EIO=4&transport=carrier", 400),
        (POLLING + "&sid=nobody", 400),
        (POLLING + "&j=0", 400),
        ("/socket.io/?EIO=4&transport=polling&j=x", 400),
        ("/health/live/x", 404),
    ],
)
def test_an_error_of_the_notifier_has_the_one_form(
    notifier: tuple[str, Process], path: str, status: int
) -> None:
    answer = ask(notifier[0] + path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/json")
    assert set(answer.json()) == {"message", "request_id"}
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize("path", ["/health/live", "/unknown"])
def test_a_page_that_may_can_read_every_answer(door: str, path: str) -> None:
    headers = ask(door + path, headers={"Origin": PAGE}).headers
    assert headers["Access-Control-Allow-Origin"] == PAGE
    exposed = {name.strip() for name in headers["Access-Control-Expose-Headers"].split(",")}
    assert exposed >= {
        "Link",
        "Location",
        "X-Request-ID",
        "Retry-After",
        "RateLimit",
        "RateLimit-Policy",
        "ETag",
    }
    assert headers["Vary"] == "Origin"


@pytest.mark.parametrize("origin", [ELSEWHERE, "null", PAGE + ".evil.example", PAGE.upper()])
def test_another_page_cannot(door: str, origin: str) -> None:
    headers = ask(door + "/health/live", headers={"Origin": origin}).headers
    assert "Access-Control-Allow-Origin" not in headers
    assert headers["Vary"] == "Origin"


def test_without_the_setting_no_page_can(full_deployment: FullDeployment) -> None:
    headers = ask(full_deployment.gateways[0] + "/health/live", headers={"Origin": PAGE}).headers
    assert not any(name.startswith("Access-Control") for name in headers)


def test_a_preflight_is_answered(gateway: tuple[str, Process]) -> None:
    answer = ask(gateway[0] + "/api/movies", "OPTIONS", headers=PREFLIGHT)
    assert (answer.status_code, answer.text) == (204, "")
    assert "Content-Length" not in answer.headers
    allowed = {name.strip() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert allowed >= {"Authorization", "Content-Type", "Idempotency-Key", "If-Match", "X-Request-ID"}
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/movies", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("/api/movies/1", {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}),
        ("/api/auth/login", {"POST", "OPTIONS"}),
        ("/health/live", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_options_tell_the_methods(gateway: tuple[str, Process], path: str, methods: set[str]) -> None:
    answer = ask(gateway[0] + path, "OPTIONS")
    assert answer.status_code == 204
    assert set(answer.headers["Allow"].split(", ")) == methods


def test_options_of_the_notifier(notifier: tuple[str, Process]) -> None:
    for path in ("/health/live", POLLING):
        answer = ask(notifier[0] + path, "OPTIONS", headers=PREFLIGHT)
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (204, PAGE)
        assert "GET" in answer.headers["Allow"]


def test_options_of_nothing_are_404(door: str) -> None:
    assert ask(door + "/unknown", "OPTIONS").status_code == 404


def test_a_page_reads_refusals_too(door: str) -> None:
    origin = f"Origin: {PAGE}\r\n".encode()
    for sent, status in [
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + origin + b"X: y", 408),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + origin + b"X : y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + origin + b"X: " + b"y" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + origin + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ]:
        with Connection(door) as connection:
            answer = connection.send(sent).answer()
            assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, PAGE)


def test_a_page_reads_that_a_body_is_too_large(gateway: tuple[str, Process]) -> None:
    answer = ask(gateway[0] + "/api/movies", "POST", data=b"x" * 200_000, headers={"Origin": PAGE})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (413, PAGE)
    assert answer.json()["message"] == "The body is too large: 128 KiB at most"


def test_a_page_reads_that_it_has_too_many_sockets(notifier: tuple[str, Process]) -> None:
    for _ in range(SOCKETS + 1):
        answer = ask(notifier[0] + POLLING, headers={"Origin": PAGE})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (429, PAGE)
    assert answer.headers["Retry-After"]
    assert set(answer.json()) == {"message", "request_id"}


def test_what_belongs_to_somebody_is_not_stored(gateway: tuple[str, Process], account: Account) -> None:
    bearer = {"Authorization": f"Bearer {account.token}"}
    for path, headers in [
        ("/api/auth/me", bearer),
        ("/api/auth/status", {}),
        ("/health/live", {}),
        ("/api/movies/0", {}),
        ("/api/movies?limit=1", bearer),
    ]:
        assert ask(gateway[0] + path, headers=headers).headers["Cache-Control"] == "no-store", path
    assert ask(gateway[0] + "/.well-known/jwks.json").headers["Cache-Control"] == "max-age=60"


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br", "zstd", "x"])
def test_a_compressed_body_is_415_and_says_so(
    gateway: tuple[str, Process], account: Account, coding: str
) -> None:
    headers = {
        "Authorization": f"Bearer {account.token}",
        "Content-Type": "application/json",
        "Content-Encoding": coding,
    }
    answer = ask(gateway[0] + "/api/movies", "POST", data=gzip.compress(b'{"title": "X"}'), headers=headers)
    assert answer.status_code == 415
    assert "Content-Encoding" in answer.json()["message"]


@pytest.mark.parametrize("size", [8 * 1024, 8 * 1024 + 1])
@pytest.mark.parametrize("path", ["/api/auth/login", "/api/auth/register"])
def test_a_body_at_auth_has_8_kib_at_most(gateway: tuple[str, Process], path: str, size: int) -> None:
    body = b'{"x": "' + b"x" * (size - 9) + b'"}'
    answer = ask(gateway[0] + path, "POST", data=body, headers={"Content-Type": "application/json"})
    assert len(body) == size
    assert answer.status_code == (400 if size <= 8 * 1024 else 413)
    assert "8 KiB" in answer.json()["message"] or size <= 8 * 1024


def test_no_control_character_reaches_the_log(gateway: tuple[str, Process]) -> None:
    url, process = gateway
    for path in (
        b"/%1b%5b31mred",
        b"/%0d%0aforged",
        b"/%c2%9b%e2%80%ae",
        b"/%zz%1",
        b"/caf\xc3\xa9\xc2\x9b",
        b"/api/movies/%1b",
        b"/x?%1b",
    ):
        with Connection(url) as connection:
            connection.send(
                b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nX-Request-ID: \xc2\x9b\r\n\r\n"
            ).answer()
    with Connection(url) as connection:
        connection.send(b"G\x1b[31mT / HTTP/1.1\r\nHost: a\r\n\r\n").answer()
        connection.close()
    assert ask(url + "/the-last-of-them").status_code == 404
    wait_until(lambda: "the-last-of-them" in process.log.read_text(), 5, "all are logged")
    written = process.log.read_bytes()
    assert b"/%1B%5B31mred 404" in written
    assert not set(written) & (set(range(32)) - {10} | set(range(127, 256)))


def test_a_client_may_end_its_half_and_is_answered(door: str) -> None:
    with Connection(door) as connection:
        connection.ask("/health/live").ask("/health/live").socket.shutdown(1)
        came = b""
        while chunk := connection.socket.recv(65536):
            came += chunk
    assert came.count(b"HTTP/1.1 200 OK") == 2
    assert came.count(b"Connection: close") == 1


def test_head_has_the_length_and_no_body(gateway: tuple[str, Process]) -> None:
    url = gateway[0] + "/api/movies?limit=1"
    shown, head = ask(url), ask(url, "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(shown.content))
