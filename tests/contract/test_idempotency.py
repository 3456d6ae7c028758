"""The Idempotency-Key header: a request that is sent twice is done once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.clients import PASSWORD, Account, Api, sign_in, sign_up
from tests.contract.expect import assert_error, assert_message, get, ids, unique
from tests.contract.listeners import listen
from tests.platforms import Platform

AT_ONCE = 8
REVIEW = {"title": "Once", "rating": 8}


def key(of: str | None = None) -> dict[str, str]:
    """The header with a fresh key, or with this one."""
    return {"Idempotency-Key": of or unique()}


def assert_reused(response: requests.Response) -> None:
    assert_error(
        response, 422, "This idempotency key was used for another request", fields={"Idempotency-Key"}
    )


def assert_same(one: requests.Response, other: requests.Response) -> None:
    """The same answer, but for the id of the request."""
    assert (one.status_code, one.json()) == (other.status_code, other.json())
    assert one.headers.get("Location") == other.headers.get("Location")


# --- the same key and body


def test_a_review_sent_twice_is_written_and_announced_once(
    platform: Platform, anyone: Api, bob: Account, carol: Account, movie: int
) -> None:
    header, path = key(), f"/api/movies/{movie}/reviews"
    with listen(platform.notifiers[0], str(movie)) as listener:
        first, second = (bob.api.post(path, REVIEW, headers=header) for _ in range(2))
        marker = carol.api.create_review(movie)
        heard = [listener.next("new_review")["review"]["id"] for _ in range(2)]
    assert_message(first, "Review created", 201)
    assert_same(first, second)
    assert heard == [first.json()["id"], marker]
    assert ids(get(anyone, path)["data"]) == [marker, first.json()["id"]]
    assert get(anyone, f"/api/movies/{movie}")["review_count"] == 2


def test_a_movie_sent_twice_is_one_movie(anyone: Api, alice: Account) -> None:
    header, body = key(), {"title": unique("Film ")}
    first, second = (alice.api.post("/api/movies", body, headers=header) for _ in range(2))
    assert_message(first, "Movie created", 201)
    assert_same(first, second)
    found = get(anyone, "/api/movies/search", title=body["title"])["data"]
    assert ids(found) == [first.json()["id"]]


def test_the_order_of_fields_and_the_blanks_between_do_not_matter(alice: Account) -> None:
    headers = {**key(), "Content-Type": "application/json"}
    texts = ('{"title": "Ordered", "kind": "tv"}', '{ "kind":"tv",\n"title":"Ordered" }')
    first, second = (alice.api.post("/api/movies", data=text, headers=headers) for text in texts)
    assert first.status_code == 201
    assert_same(first, second)


def test_without_a_key_a_request_is_done_each_time(alice: Account) -> None:
    assert alice.api.create_movie(title="Twice") != alice.api.create_movie(title="Twice")


@pytest.mark.parametrize("deleted", ["movies", "reviews"])
def test_a_deletion_sent_twice_says_the_same_twice(
    anyone: Api, alice: Account, movie: int, deleted: str
) -> None:
    path = f"/api/movies/{movie}" if deleted == "movies" else f"/api/reviews/{alice.api.create_review(movie)}"
    header = key()
    first, second = (alice.api.delete(path, headers=header) for _ in range(2))
    assert first.status_code == 200
    assert_same(first, second)
    assert_error(anyone.get(path), 404)
    assert_error(alice.api.delete(path, headers=key()), 404)


def test_a_change_that_comes_late_does_not_undo_a_newer_one(anyone: Api, alice: Account, movie: int) -> None:
    path, header = f"/api/movies/{movie}", key()
    first = alice.api.put(path, {"title": "Older"}, headers=header)
    alice.api.put(path, {"title": "Newer"})
    assert_same(first, alice.api.put(path, {"title": "Older"}, headers=header))
    assert get(anyone, path)["title"] == "Newer"


def test_a_like_and_its_opposite_that_come_late_change_nothing(
    anyone: Api, alice: Account, bob: Account, movie: int
) -> None:
    path, header = f"/api/reviews/{bob.api.create_review(movie)}", key()
    assert alice.api.put(f"{path}/like", headers=header).json() == {"likes": 1}
    # The same key of another operation is another key.
    assert alice.api.delete(f"{path}/like", headers=header).json() == {"likes": 0}
    assert alice.api.put(f"{path}/like", headers=header).json() == {"likes": 1}
    assert get(anyone, path)["likes"] == 0
    alice.api.put(f"{path}/like")
    assert alice.api.delete(f"{path}/like", headers=header).json() == {"likes": 0}
    assert get(anyone, path)["likes"] == 1


def test_who_registers_twice_is_registered_once(anyone: Api) -> None:
    header, body = key(), registration()
    first, second = (anyone.post("/api/auth/register", body, headers=header) for _ in range(2))
    assert_message(first, "User registered successfully", 201)
    assert_same(first, second)
    assert_error(anyone.post("/api/auth/register", body), 400, "Username already exists")


def test_who_logs_in_twice_has_one_session(anyone: Api, alice: Account) -> None:
    header, body = key(), {"email": alice.email, "password": PASSWORD}
    first, second = (anyone.post("/api/auth/login", body, headers=header) for _ in range(2))
    assert_message(first, "Login successful")
    assert_same(first, second)
    other = anyone.post("/api/auth/login", body, headers=key())
    assert other.json()["access_token"] != first.json()["access_token"]


def test_a_login_with_the_key_of_another_needs_the_password(anyone: Api, alice: Account) -> None:
    header, body = key(), {"email": alice.email, "password": PASSWORD}
    anyone.post("/api/auth/login", body, headers=header)
    wrong = anyone.post("/api/auth/login", {**body, "password": "not this one"}, headers=header)
    assert_error(wrong, 401, "Invalid email or password", fields=set())


def test_a_new_password_sent_twice_is_set_once(gateway: str) -> None:
    user = sign_up(gateway)
    header, body = key(), {"password": "another password", "current_password": PASSWORD}
    first, second = (user.api.patch("/api/auth/me", body, headers=header) for _ in range(2))
    assert_message(first, "Profile updated successfully")
    assert_same(first, second)
    other = {**body, "current_password": "another password"}
    assert_reused(user.api.patch("/api/auth/me", other, headers=header))
    assert_error(user.api.patch("/api/auth/me", body), 400, fields={"current_password"})


def test_after_logout_and_deletion_the_token_is_refused_whatever_the_key(gateway: str) -> None:
    user, header = sign_up(gateway), key()
    assert_message(user.api.post("/api/auth/logout", headers=header), "User logged out")
    assert_error(user.api.post("/api/auth/logout", headers=header), 401)
    again = sign_in(gateway, user.email)
    assert again.delete(headers=header).status_code == 200
    assert_error(again.delete(headers=header), 401)


# --- the same key, another body or person


@pytest.mark.parametrize(
    ("method", "path", "body", "other"),
    [
        ("POST", "/api/movies", {"title": "One"}, {"title": "Other"}),
        ("PUT", "/api/movies/{movie}", {"genre": "Drama"}, {"genre": "Crime"}),
        ("POST", "/api/movies/{movie}/reviews", REVIEW, {**REVIEW, "rating": 7}),
        ("PUT", "/api/reviews/{review}", {"rating": 3}, {"rating": 3.5}),
        (
            "PATCH",
            "/api/auth/me",
            {"email": "{unique}@example.com", "current_password": PASSWORD},
            {"email": "x{unique}@example.com", "current_password": PASSWORD},
        ),
    ],
)
def test_the_same_key_with_another_body_is_422(
    alice: Account, method: str, path: str, body: Any, other: Any
) -> None:
    user = sign_up(alice.api.base)
    reviewed = user.api.create_movie()
    path = path.format(movie=user.api.create_movie(), review=user.api.create_review(reviewed))
    word = unique()
    body, other = ({name: fill(value, word) for name, value in each.items()} for each in (body, other))
    header = key()
    first = user.api.request(method, path, body, headers=header)
    assert first.status_code in (200, 201), first.text
    assert_reused(user.api.request(method, path, other, headers=header))
    assert_same(first, user.api.request(method, path, body, headers=header))


def fill(value: Any, word: str) -> Any:
    return value.replace("{unique}", word) if isinstance(value, str) else value


def test_the_same_key_for_another_account_is_422(anyone: Api, alice: Account, bob: Account) -> None:
    header, body = key(), registration()
    assert anyone.post("/api/auth/register", body, headers=header).status_code == 201
    assert_reused(anyone.post("/api/auth/register", registration(), headers=header))
    assert_reused(anyone.post("/api/auth/register", {**body, "email": f"x{body['email']}"}, headers=header))
    login = {"email": alice.email, "password": PASSWORD}
    assert anyone.post("/api/auth/login", login, headers=header).status_code == 200
    assert_reused(anyone.post("/api/auth/login", {**login, "email": bob.email}, headers=header))


@pytest.mark.parametrize(("method", "what"), [("PUT", ""), ("DELETE", ""), ("POST", "/reviews")])
def test_the_same_key_for_another_row_is_422(alice: Account, method: str, what: str) -> None:
    header = key()
    one, other = (f"/api/movies/{alice.api.create_movie()}{what}" for _ in range(2))
    body = REVIEW if what else {"title": "Same"} if method == "PUT" else None
    assert alice.api.request(method, one, body, headers=header).status_code in (200, 201)
    assert_reused(alice.api.request(method, other, body, headers=header))


def test_the_same_key_of_another_person_is_another_key(
    anyone: Api, bob: Account, carol: Account, movie: int
) -> None:
    header, path = key(), f"/api/movies/{movie}/reviews"
    bobs, carols = (person.api.post(path, REVIEW, headers=header) for person in (bob, carol))
    assert bobs.status_code == carols.status_code == 201
    assert ids(get(anyone, path)["data"]) == [carols.json()["id"], bobs.json()["id"]]


@pytest.mark.parametrize(
    "sent", ["", "two words", "x" * 256, b"caf\xc3\xa9", "a\tb"], ids=["empty", "blank", "256", "é", "tab"]
)
def test_a_key_that_is_none_is_refused(anyone: Api, alice: Account, sent: str | bytes) -> None:
    title = unique("Film ")
    response = alice.api.post("/api/movies", {"title": title}, headers={"Idempotency-Key": sent})
    assert_error(response, 400, fields={"Idempotency-Key"})
    assert get(anyone, "/api/movies/search", title=title)["data"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/auth/register"),
        ("POST", "/api/auth/login"),
        ("POST", "/api/auth/logout"),
        ("PATCH", "/api/auth/me"),
        ("DELETE", "/api/auth/me"),
        ("POST", "/api/movies"),
        ("PUT", "/api/movies/{movie}"),
        ("DELETE", "/api/movies/{movie}"),
        ("POST", "/api/movies/{movie}/reviews"),
        ("PUT", "/api/reviews/{review}"),
        ("DELETE", "/api/reviews/{review}"),
        ("PUT", "/api/reviews/{review}/like"),
        ("DELETE", "/api/reviews/{review}/like"),
    ],
)
def test_every_write_reads_the_key(
    alice: Account, shared_movie: int, shared_review: int, method: str, path: str
) -> None:
    address = path.format(movie=shared_movie, review=shared_review)
    response = alice.api.request(method, address, {}, headers=key("two words"))
    assert_error(response, 400, fields={"Idempotency-Key"})
    assert get(alice.api, "/api/auth/me")["id"] == alice.id


@pytest.mark.parametrize("length", [1, 255])
def test_a_key_has_1_to_255_characters(gateway: str, length: int) -> None:
    user = sign_up(gateway)
    header = key("~" * length)
    first, second = (user.api.post("/api/movies", {"title": "Keyed"}, headers=header) for _ in range(2))
    assert first.status_code == 201
    assert_same(first, second)


# --- failures, and many at once


def test_what_failed_leaves_the_key_free(bob: Account, movie: int) -> None:
    header, path = key(), f"/api/movies/{movie}/reviews"
    assert_error(bob.api.post(path, {"title": "Unrated"}, headers=header), 400)
    earlier = bob.api.create_review(movie)
    assert_error(bob.api.post(path, REVIEW, headers=header), 409)
    bob.api.delete(f"/api/reviews/{earlier}")
    assert_message(bob.api.post(path, REVIEW, headers=header), "Review created", 201)


def test_a_registration_that_failed_leaves_the_key_free(anyone: Api, alice: Account) -> None:
    header, body = key(), registration()
    taken = {**body, "username": alice.username}
    assert_error(anyone.post("/api/auth/register", taken, headers=header), 400, "Username already exists")
    assert anyone.post("/api/auth/register", body, headers=header).status_code == 201


def test_many_at_once_write_once_and_are_answered_alike(
    platform: Platform, anyone: Api, bob: Account, movie: int
) -> None:
    header, path = key(), f"/api/movies/{movie}/reviews"
    answers = at_once(platform, path, REVIEW, {**header, "Authorization": f"Bearer {bob.token}"})
    assert answers[0].status_code == 201, answers[0].text
    for answer in answers:
        assert_same(answer, answers[0])
    assert ids(get(anyone, path)["data"]) == [answers[0].json()["id"]]


def test_some_registrations_at_once_are_one_account_and_some_logins_one_session(platform: Platform) -> None:
    # Few, because each costs a hash, and who waits too long for a core is refused.
    body, some = registration(), 4
    registered = at_once(platform, "/api/auth/register", body, key(), some)
    assert [answer.status_code for answer in registered] == [201] * some
    login = {"email": body["email"], "password": body["password"]}
    answers = at_once(platform, "/api/auth/login", login, key(), some)
    for answer in answers:
        assert_same(answer, answers[0])
    for gateway in platform.gateways:
        assert Api(gateway, answers[0].json()["access_token"]).get("/api/auth/me").status_code == 200


def at_once(
    platform: Platform, path: str, body: Any, headers: dict[str, str], times: int = AT_ONCE
) -> list[requests.Response]:
    """The answers to the same POST, sent so many times at once through all gateways."""
    apis = [Api(platform.gateways[number % len(platform.gateways)]) for number in range(times)]
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(lambda api: api.post(path, body, headers=headers), apis))


def registration() -> dict[str, str]:
    name = unique("u")[:20]
    email = f"{name}@example.com"
    return {"username": name, "email": email, "password": PASSWORD, "confirm_password": PASSWORD}
