"""Query parameters that cannot be: 400 with the parameter named."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.clients import Account, Api
from tests.contract.expect import assert_error, get, unique

PAGED = ["/api/movies", "/api/movies/search", "/api/movies/{movie}/reviews", "/api/users/{user}/reviews"]
LISTINGS = [*PAGED, "/api/movies/popular"]


def cursor(content: Any) -> str:
    """A cursor as one might forge it."""
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@pytest.fixture
def paths(alice: Account, shared_movie: int) -> dict[str, int]:
    return {"movie": shared_movie, "user": alice.id}


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "", "1.5", "9" * 30, "%00"])
@pytest.mark.parametrize("path", LISTINGS)
def test_a_limit_out_of_range_is_refused(anyone: Api, paths: dict[str, int], path: str, limit: str) -> None:
    assert_error(anyone.get(f"{path.format(**paths)}?limit={limit}"), 400, fields={"limit"})


@pytest.mark.parametrize("limit", ["1", "1000"])
@pytest.mark.parametrize("path", LISTINGS)
def test_the_bounds_of_a_limit_are_taken(anyone: Api, paths: dict[str, int], path: str, limit: str) -> None:
    assert anyone.get(f"{path.format(**paths)}?limit={limit}").status_code == 200


@pytest.mark.parametrize("path", LISTINGS)
def test_an_unknown_parameter_is_refused(anyone: Api, paths: dict[str, int], path: str) -> None:
    assert_error(anyone.get(f"{path.format(**paths)}?colour=red"), 400, fields={"colour"})


@pytest.mark.parametrize("path", LISTINGS)
def test_a_parameter_given_twice_is_refused(anyone: Api, paths: dict[str, int], path: str) -> None:
    assert_error(anyone.get(f"{path.format(**paths)}?limit=5&limit=5"), 400, fields={"limit"})


@pytest.mark.parametrize("raw", ["%ff", "%c3", "a%ed%a0%80"])
@pytest.mark.parametrize("name", ["title", "q", "cursor"])
def test_a_parameter_that_is_not_utf_8_is_refused(anyone: Api, name: str, raw: str) -> None:
    assert_error(anyone.get(f"/api/movies/search?{name}={raw}"), 400, fields={name})


@pytest.mark.parametrize("name", ["title", "genre", "director", "q", "cursor"])
def test_a_parameter_with_nul_is_refused(anyone: Api, name: str) -> None:
    assert_error(anyone.get(f"/api/movies/search?{name}=a%00b"), 400, fields={name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("min_rating", value) for value in ["11", "-1", "x", "", "nan", "inf", "1e400", "9" * 400]),
        *(("max_rating", value) for value in ["10.1", "-0.5", "x", "", "NaN", "-Infinity", "1e400"]),
        *(("year_from", value) for value in ["0", "-1", "10000", "x", "", "1999.5", "9" * 40]),
        *(("year_to", value) for value in ["0", "10000", "MCMXCIX", "1e3x"]),
        *(("kind", value) for value in ["film", "TV", ""]),
        *(("sort", value) for value in ["best", "RATING", "", "id", "relevance", "title desc"]),
        *((name, "x" * 301) for name in ["title", "q", "director", "genre"]),
    ],
)
def test_a_filter_that_cannot_be_is_refused(anyone: Api, name: str, value: str) -> None:
    assert_error(anyone.get("/api/movies/search", params={name: value}), 400, fields={name})


@pytest.mark.parametrize("value", ["best", "", "NEWEST", "rating"])
def test_an_unknown_order_of_reviews_is_refused(anyone: Api, shared_movie: int, value: str) -> None:
    response = anyone.get(f"/api/movies/{shared_movie}/reviews", params={"sort": value})
    assert_error(response, 400, fields={"sort"})


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "x",
        "%25%25%25",
        "AAAA",
        "A" * 2000,
        "%F0%9F%98%80",
        *map(
            cursor,
            [
                *[None, [], {}, 5, [1, 2, 3], ["newest", 1]],
                *([order, 0, row] for order in ("id", "newest", "rating") for row in ["1", 2**63, -1]),
                *(["rating", key, 1] for key in [None, {}, 10**400, "x"]),
            ],
        ),
        base64.urlsafe_b64encode(b"[" * 700).decode(),
        base64.urlsafe_b64encode(b'["\xff",1,2]').decode(),
    ],
)
@pytest.mark.parametrize("path", PAGED)
def test_a_cursor_that_is_garbage_is_refused(
    anyone: Api, paths: dict[str, int], path: str, garbage: str
) -> None:
    assert_error(anyone.get(f"{path.format(**paths)}?cursor={garbage}"), 400, fields={"cursor"})


@pytest.mark.parametrize("key", ["\ud800", "a\x00b", 5, None, []], ids=ascii)
@pytest.mark.parametrize(
    ("sort", "order"), [("title", "title"), ("newest", "latest"), ("oldest", "earliest")]
)
def test_a_forged_key_of_a_cursor_is_refused(anyone: Api, sort: str, order: str, key: Any) -> None:
    forged = {"sort": sort, "cursor": cursor([order, key, 1])}
    assert_error(anyone.get("/api/movies/search", params=forged), 400, fields={"cursor"})


@pytest.fixture(scope="module")
def cursors(alice: Account, bob: Account, carol: Account) -> dict[str, str]:
    """A true cursor of each kind of listing."""
    mark = unique()
    movies = [alice.api.create_movie(title=f"{mark} {number}") for number in range(2)]
    for person in (alice, bob):
        person.api.create_review(movies[0])
    carol.api.create_review(movies[1])
    search = {"title": mark, "limit": 1}
    reviews = f"/api/movies/{movies[0]}/reviews"
    return {
        "list": alice.api.get("/api/movies?limit=1").links["next"]["url"].split("cursor=")[1],
        "by title": get(alice.api, "/api/movies/search", sort="title", **search)["next_cursor"],
        "by rating": get(alice.api, "/api/movies/search", sort="rating", **search)["next_cursor"],
        "newest reviews": get(alice.api, reviews, sort="newest", limit=1)["next_cursor"],
        "highest reviews": get(alice.api, reviews, sort="highest", limit=1)["next_cursor"],
    }


@pytest.mark.parametrize(
    ("given_out_by", "path"),
    [
        ("by title", "/api/movies?"),
        ("newest reviews", "/api/movies?"),
        ("list", "/api/movies/search?sort=rating&"),
        ("by title", "/api/movies/search?sort=rating&"),
        ("by rating", "/api/movies/search?sort=title&"),
        ("by rating", "/api/movies/search?sort=popular&"),
        ("newest reviews", "/api/movies/search?sort=newest&"),
        ("highest reviews", "/api/movies/{movie}/reviews?sort=lowest&"),
        ("highest reviews", "/api/movies/{movie}/reviews?"),
        ("list", "/api/movies/{movie}/reviews?"),
        ("by title", "/api/users/{user}/reviews?"),
    ],
)
def test_a_cursor_of_another_listing_is_refused(
    anyone: Api, paths: dict[str, int], cursors: dict[str, str], given_out_by: str, path: str
) -> None:
    response = anyone.get(f"{path.format(**paths)}cursor={cursors[given_out_by]}")
    assert_error(response, 400, fields={"cursor"})
