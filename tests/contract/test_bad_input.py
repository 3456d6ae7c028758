"""Bad input is 400 with the fields at fault, never 500."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import Account, Api
from tests.contract.expect import assert_error

# What no field that is a text may be.
NOT_TEXTS: list[Any] = [5, True, ["x"]]

BAD_MOVIES: list[tuple[str, Any]] = [
    *(("title", value) for value in [None, "", "   ", "x" * 301, "a\x00b", *NOT_TEXTS]),
    *(("description", value) for value in [None, "x" * 10_001, "a\x00b", *NOT_TEXTS]),
    *(("director", value) for value in [None, "x" * 301, "a\x00b", *NOT_TEXTS]),
    *(("genre", value) for value in [None, "x" * 301, "a\x00b", *NOT_TEXTS]),
    *(("poster_url", value) for value in [None, "poster.jpg", "javascript:alert(1)", "a\x00b", *NOT_TEXTS]),
    *(("rating", value) for value in ["8", True, -0.1, 10.1, 1e308, -1e308, 10**18, 2**64, [8], {}]),
    *(("kind", value) for value in [None, "film", "Movie", "", 5, []]),
    *(
        ("release_date", value)
        for value in [
            *["2023-02-29", "2023-02-30", "2023-13-01", "2023-00-10", "2023-01-32", "0000-01-01", "23-01-01"],
            *[
                "2023-1-1",
                "2023/01/01",
                "20230101",
                "2023-01-01T00:00:00",
                "yesterday",
                "",
                " ",
                "2023-01-01\x00",
            ],
            *["２０２３-01-01", "-2023-01-01", "10000-01-01", 20230101, 2023.5, True, [], {}],
        ]
    ),
    *((name, "x") for name in ["unknown", "id", "average_rating", "review_count", "created_at", "Title"]),
]

BAD_REVIEWS: list[tuple[str, Any]] = [
    *(("title", value) for value in [None, "", "   ", "x" * 201, "a\x00b", *NOT_TEXTS]),
    *(("body", value) for value in [None, "x" * 20_001, "a\x00b", *NOT_TEXTS]),
    *(
        ("rating", value)
        for value in [None, "8", True, 0, 0.5, 10.5, 11, -1, 7.3, 7.25, 1e308, 2**64, [8], {}]
    ),
    *(("spoiler", value) for value in [None, "yes", "true", 0, 1, [], {}]),
    *((name, "x") for name in ["unknown", "user_id", "movie_id", "likes"]),
]

BAD_ACCOUNTS: list[tuple[str, Any]] = [
    *(
        ("username", value)
        for value in [None, "", "x", "x" * 51, "two words", "<b>", "a/b", "a\n", "a\x00b", *NOT_TEXTS]
    ),
    *(
        ("email", value)
        for value in [None, "", "x", "@example.com", "x@", "x@@example.com", "a b@example.com", *NOT_TEXTS]
    ),
    *(("email", value) for value in ["x@example", "x@example.com\x00", "x" * 250 + "@example.com"]),
    *(("password", value) for value in [None, "", "short", "x" * 257, *NOT_TEXTS]),
    *(("confirm_password", value) for value in [None, *NOT_TEXTS]),
    *((name, "x") for name in ["unknown", "role", "id"]),
]


def named(cases: list[tuple[str, Any]]) -> Any:
    return pytest.mark.parametrize(
        ("field", "value"), cases, ids=[f"{field}={str(value)[:24]!a}" for field, value in cases]
    )


@named(BAD_MOVIES)
def test_a_movie_with_a_bad_field_is_refused(alice: Account, field: str, value: Any) -> None:
    assert_error(alice.api.post("/api/movies", {"title": "Fine", field: value}), 400, fields={field})


@named(BAD_MOVIES[::5])
def test_a_movie_is_not_changed_by_a_bad_field(
    alice: Account, shared_movie: int, field: str, value: Any
) -> None:
    path = f"/api/movies/{shared_movie}"
    before = alice.api.get(path).json()
    assert_error(alice.api.put(path, {field: value}), 400, fields={field})
    assert alice.api.get(path).json() == before


@named(BAD_REVIEWS)
def test_a_review_with_a_bad_field_is_refused(
    alice: Account, shared_movie: int, field: str, value: Any
) -> None:
    body = {"title": "Fine", "rating": 8, field: value}
    assert_error(alice.api.post(f"/api/movies/{shared_movie}/reviews", body), 400, fields={field})


@named(BAD_REVIEWS[::5])
def test_a_review_is_not_changed_by_a_bad_field(
    bob: Account, shared_review: int, field: str, value: Any
) -> None:
    path = f"/api/reviews/{shared_review}"
    before = bob.api.get(path).json()
    assert_error(bob.api.put(path, {field: value}), 400, fields={field})
    assert bob.api.get(path).json() == before


@named(BAD_ACCOUNTS)
def test_an_account_with_a_bad_field_is_refused(anyone: Api, field: str, value: Any) -> None:
    body = {
        "username": "somebody-new",
        "email": "somebody@example.com",
        "password": "long enough",
        "confirm_password": "long enough",
        field: value,
    }
    assert_error(anyone.post("/api/auth/register", body), 400, fields={field})


@pytest.mark.parametrize(
    ("field", "value"), [(name, value) for name in ("email", "password") for value in NOT_TEXTS]
)
def test_a_login_with_a_bad_field_is_refused(anyone: Api, field: str, value: Any) -> None:
    body = {"email": "somebody@example.com", "password": "long enough", field: value}
    assert_error(anyone.post("/api/auth/login", body), 400, fields={field})


@pytest.mark.parametrize(
    "body",
    [
        {"username": "two words"},
        {"username": 5},
        {"email": "nowhere"},
        {"password": "short", "current_password": "x"},
        {"password": ["x"], "current_password": "x"},
        {"role": "admin"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_profile_is_not_changed_by_a_bad_field(alice: Account, body: dict[str, Any]) -> None:
    before = alice.api.get("/api/auth/me").json()
    assert_error(alice.api.patch("/api/auth/me", body), 400, fields={next(iter(body))})
    assert alice.api.get("/api/auth/me").json() == before


@pytest.mark.parametrize(
    ("path", "body", "missing"),
    [
        ("/api/movies", {}, {"title"}),
        ("/api/movies", {"description": "Untitled"}, {"title"}),
        ("/api/auth/register", {}, {"username", "email", "password", "confirm_password"}),
        (
            "/api/auth/register",
            {"username": "somebody", "password": "long enough"},
            {"email", "confirm_password"},
        ),
        ("/api/auth/login", {}, {"email", "password"}),
        ("/api/auth/login", {"email": "somebody@example.com"}, {"password"}),
        ("/api/movies/{movie}/reviews", {}, {"title", "rating"}),
        ("/api/movies/{movie}/reviews", {"title": "Unrated"}, {"rating"}),
    ],
)
def test_every_field_that_is_missing_is_named(
    alice: Account, shared_movie: int, path: str, body: dict[str, Any], missing: set[str]
) -> None:
    assert_error(alice.api.post(path.format(movie=shared_movie), body), 400, fields=missing)


def test_all_fields_at_fault_are_named_at_once(alice: Account) -> None:
    body = {"title": 5, "rating": 11, "kind": "film", "release_date": "2023-02-30", "unknown": 1}
    assert_error(alice.api.post("/api/movies", body), 400, fields=set(body))


@pytest.mark.parametrize("path", ["/api/movies/{movie}", "/api/reviews/{review}"])
def test_a_change_of_nothing_is_refused(
    alice: Account, bob: Account, shared_movie: int, shared_review: int, path: str
) -> None:
    owner = alice if "movies" in path else bob
    response = owner.api.put(path.format(movie=shared_movie, review=shared_review), {})
    assert_error(response, 400)


def test_a_profile_change_of_nothing_is_refused(alice: Account) -> None:
    assert_error(alice.api.patch("/api/auth/me", {}), 400)


@pytest.mark.parametrize("identifier", ["0", "-1", "x", "1.0", "9" * 20, "%00", "%D9%A1", "1%20"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/movies/{id}"),
        ("PUT", "/api/movies/{id}"),
        ("DELETE", "/api/movies/{id}"),
        ("GET", "/api/movies/{id}/reviews"),
        ("POST", "/api/movies/{id}/reviews"),
        ("GET", "/api/movies/{id}/ratings"),
        ("GET", "/api/reviews/{id}"),
        ("PUT", "/api/reviews/{id}"),
        ("DELETE", "/api/reviews/{id}"),
        ("PUT", "/api/reviews/{id}/like"),
        ("DELETE", "/api/reviews/{id}/like"),
        ("GET", "/api/users/{id}"),
        ("GET", "/api/users/{id}/reviews"),
    ],
)
def test_an_id_that_no_row_can_have_is_refused(
    alice: Account, method: str, path: str, identifier: str
) -> None:
    body = {"title": "Fine", "rating": 8} if method in ("PUT", "POST") else None
    assert_error(alice.api.request(method, path.format(id=identifier), body), 400, fields={"id"})
