"""Errors: one form, at every status and on every path."""

from __future__ import annotations

import pytest

from tests.clients import Account, Api
from tests.contract.expect import NOBODYS_ID, assert_error

MIB = 1024 * 1024


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/favicon.ico",
        "/api",
        "/api/unknown",
        "/api/movies/",
        "/api/movies/1/unknown",
        "/api/movies//reviews",
        "/api/reviews",
        "/api/users",
        "/.well-known/unknown",
        "/%00",
        "/%ff",
        "/api/movies/..%2f..%2fetc%2fpasswd",
    ],
)
def test_an_unknown_route_answers_404_in_json(anyone: Api, path: str) -> None:
    assert_error(anyone.get(path), 404, fields=set())


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/api/movies", {"GET", "POST"}),
        ("DELETE", "/api/movies", {"GET", "POST"}),
        ("POST", "/api/movies/1", {"GET", "PUT", "DELETE"}),
        ("GET", "/api/auth/register", {"POST"}),
        ("GET", "/api/auth/login", {"POST"}),
        ("POST", "/api/auth/me", {"GET", "PATCH", "DELETE"}),
        ("POST", "/api/users/1", {"GET"}),
        ("GET", "/api/reviews/1/like", {"PUT", "DELETE"}),
        ("POST", "/.well-known/jwks.json", {"GET"}),
    ],
)
def test_a_method_that_a_route_does_not_take_answers_405_with_those_it_takes(
    anyone: Api, method: str, path: str, allowed: set[str]
) -> None:
    response = anyone.request(method, path)
    assert_error(response, 405, fields=set())
    told = {name.strip() for name in response.headers["Allow"].split(",")}
    assert told - {"HEAD", "OPTIONS"} == allowed


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/api/movies/{id}", "Movie not found"),
        ("/api/movies/{id}/reviews", "Movie not found"),
        ("/api/movies/{id}/ratings", "Movie not found"),
        ("/api/reviews/{id}", "Review not found"),
        ("/api/users/{id}", "User not found"),
        ("/api/users/{id}/reviews", "User not found"),
    ],
)
def test_what_is_not_there_answers_404_with_its_name(anyone: Api, path: str, message: str) -> None:
    assert_error(anyone.get(path.format(id=NOBODYS_ID)), 404, message, fields=set())


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("PUT", "/api/movies/{id}", {"title": "X"}, "Movie not found"),
        ("DELETE", "/api/movies/{id}", None, "Movie not found"),
        ("POST", "/api/movies/{id}/reviews", {"title": "X", "rating": 5}, "Movie not found"),
        ("PUT", "/api/reviews/{id}", {"title": "X"}, "Review not found"),
        ("DELETE", "/api/reviews/{id}", None, "Review not found"),
        ("PUT", "/api/reviews/{id}/like", None, "Review not found"),
        ("DELETE", "/api/reviews/{id}/like", None, "Review not found"),
    ],
)
def test_what_is_not_there_cannot_be_changed(
    alice: Account, method: str, path: str, body: object, message: str
) -> None:
    assert_error(alice.api.request(method, path.format(id=NOBODYS_ID), body), 404, message, fields=set())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/auth/logout"),
        ("GET", "/api/auth/me"),
        ("PATCH", "/api/auth/me"),
        ("DELETE", "/api/auth/me"),
        ("POST", "/api/movies"),
        ("PUT", "/api/movies/1"),
        ("DELETE", "/api/movies/1"),
        ("DELETE", "/api/movies/cache/clear"),
        ("POST", "/api/movies/1/reviews"),
        ("PUT", "/api/reviews/1"),
        ("DELETE", "/api/reviews/1"),
        ("PUT", "/api/reviews/1/like"),
        ("DELETE", "/api/reviews/1/like"),
    ],
)
def test_without_a_token_what_needs_one_answers_401(anyone: Api, method: str, path: str) -> None:
    assert_error(anyone.request(method, path, {}), 401, fields=set())


@pytest.mark.parametrize("sent", ["abc-123", "7f0c:1/2=+._", "x" * 64])
def test_a_sane_request_id_comes_back(anyone: Api, sent: str) -> None:
    response = anyone.get("/api/unknown", headers={"X-Request-ID": sent})
    assert response.headers["X-Request-ID"] == sent
    assert_error(response, 404)


@pytest.mark.parametrize(
    "sent",
    ["", "two words", "<script>", '"quoted"', "x" * 5000, b"caf\xc3\xa9", "a\tb", "a;b", "{}"],
    ids=["empty", "blank", "markup", "quotes", "5,000 characters", "not ASCII", "tab", "semicolon", "braces"],
)
def test_a_request_id_that_is_not_sane_is_replaced(anyone: Api, sent: str | bytes) -> None:
    response = anyone.get("/api/unknown", headers={"X-Request-ID": sent})
    given = response.headers["X-Request-ID"]
    assert given
    assert given.encode() != (sent if isinstance(sent, bytes) else sent.encode())
    assert_error(response, 404)


def test_each_request_without_an_id_gets_another(anyone: Api) -> None:
    given = {anyone.get("/api/unknown").headers["X-Request-ID"] for _ in range(5)}
    assert len(given) == 5


def test_a_success_carries_its_request_id_too(anyone: Api) -> None:
    response = anyone.get("/api/movies", headers={"X-Request-ID": "mine"})
    assert response.status_code == 200
    assert response.headers["X-Request-ID"] == "mine"


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_body_that_is_too_large_answers_413(alice: Account, movie: int, method: str) -> None:
    path = "/api/movies" if method == "POST" else f"/api/movies/{movie}"
    body = b'{"title": "' + b"x" * MIB + b'"}'
    headers = {"Content-Type": "application/json"}
    assert_error(alice.api.request(method, path, data=body, headers=headers), 413, fields=set())


def test_a_body_in_chunks_that_is_too_large_answers_413(alice: Account) -> None:
    chunks = (part for part in [b'{"title": "', *[b"x" * 4096] * 300, b'"}'])
    response = alice.api.post("/api/movies", data=chunks, headers={"Content-Type": "application/json"})
    assert_error(response, 413, fields=set())


def test_a_body_in_chunks_is_read_whole(alice: Account) -> None:
    chunks = (part for part in [b'{"title": "In ', b'parts", "descr', b'iption": "', b"x" * 9000, b'"}'])
    response = alice.api.post("/api/movies", data=chunks, headers={"Content-Type": "application/json"})
    assert response.status_code == 201, response.text
    shown = alice.api.get(response.headers["Location"]).json()
    assert (shown["title"], shown["description"]) == ("In parts", "x" * 9000)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/json",
        "x",
    ],
)
@pytest.mark.parametrize("path", ["/api/movies", "/api/auth/register", "/api/auth/login"])
def test_a_body_of_another_content_type_answers_415(
    alice: Account, path: str, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    assert_error(alice.api.post(path, data=b'{"title": "X"}', headers=headers), 415, fields=set())


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_the_content_type_is_read_as_http_spells_it(alice: Account, content_type: str) -> None:
    response = alice.api.post(
        "/api/movies", data='{"title": "Amélie"}'.encode(), headers={"Content-Type": content_type}
    )
    assert response.status_code == 201, response.text
    assert alice.api.get(response.headers["Location"]).json()["title"] == "Amélie"


@pytest.mark.parametrize("size", [10, 100_000])
def test_after_a_refused_body_the_connection_still_serves(anyone: Api, size: int) -> None:
    assert_error(anyone.post("/api/movies", {"title": "x" * size}), 401)
    assert anyone.get("/api/movies", params={"limit": 1}).status_code == 200
