"""Paging: pages that neither repeat nor skip, also while rows are added."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import requests

from tests.clients import Account, Api
from tests.contract.expect import assert_error, get, ids, unique, walk
from tests.platforms import Platform

SEARCH = "/api/movies/search"
MANY = 101


def pages_from(api: Api, path: str) -> list[list[int]]:
    """The ids of the list of all movies, by page, following the links."""
    pages = []
    while True:
        response = api.get(path)
        assert response.status_code == 200, response.text
        pages.append(ids(response.json()))
        if "next" not in response.links:
            return pages
        path = next_path(response)


def next_path(response: requests.Response) -> str:
    """The next page's path, by a link that is relative to the address that was asked for."""
    asked = urlsplit(response.url)._replace(scheme="", netloc="").geturl()
    return urljoin(asked, response.links["next"]["url"])


def all_movies(api: Api) -> list[int]:
    return [movie for page in pages_from(api, "/api/movies?limit=1000") for movie in page]


@pytest.fixture(scope="module")
def many(anyone: Api, alice: Account) -> list[int]:
    """All movies there are: more than a page holds by default."""
    movies = all_movies(anyone)
    return movies + [alice.api.create_movie() for _ in range(MANY - len(movies))]


def test_the_list_is_a_bare_array_of_movies(anyone: Api, many: list[int]) -> None:
    rows = get(anyone, "/api/movies", limit=3)
    assert isinstance(rows, list)
    assert len(rows) == 3
    assert rows[0] == get(anyone, f"/api/movies/{rows[0]['id']}")


def test_a_page_of_the_list_holds_100_by_default(anyone: Api, many: list[int]) -> None:
    assert len(get(anyone, "/api/movies")) == 100


def test_the_list_walked_to_its_end_has_every_movie_once_the_newest_last(
    anyone: Api, many: list[int]
) -> None:
    pages = pages_from(anyone, "/api/movies?limit=60")
    assert {len(page) for page in pages[:-1]} == {60}
    walked = [movie for page in pages for movie in page]
    assert walked == sorted(set(walked))
    assert set(many) <= set(walked)


@pytest.mark.parametrize("host", ["evil.example", "movies_gateway:8000"])
def test_the_link_is_relative_whatever_the_host_and_keeps_the_limit(
    anyone: Api, many: list[int], host: str
) -> None:
    response = anyone.get("/api/movies", params={"limit": 7}, headers={"Host": host})
    assert response.links["next"]["url"].startswith("movies?limit=7&cursor=")
    assert len(anyone.get(next_path(response)).json()) == 7


def test_the_last_page_of_the_list_has_no_link(anyone: Api, alice: Account) -> None:
    newest = alice.api.create_movie()
    response = anyone.get("/api/movies", params={"limit": 1000})
    while "next" in response.links:
        response = anyone.get(next_path(response))
    assert ids(response.json())[-1] == newest


def test_movies_added_meanwhile_come_at_the_end_of_the_list(
    anyone: Api, alice: Account, many: list[int]
) -> None:
    before = all_movies(anyone)
    first = anyone.get("/api/movies", params={"limit": 50})
    added = [alice.api.create_movie() for _ in range(2)]
    rest = [movie for page in pages_from(anyone, next_path(first)) for movie in page]
    assert ids(first.json()) + rest == before + added


def movies_to_sort(alice: Account, people: list[Account]) -> tuple[str, dict[str, int]]:
    """A mark in the titles of six movies, two of them alike in everything, and their ids by name."""
    mark = unique()
    rows: dict[str, dict[str, Any]] = {
        "a": {"rating": 5, "release_date": "1990-01-01"},
        "C": {"rating": 9.5, "release_date": "1970-01-01"},
        "b": {"rating": 5, "release_date": "1990-01-01"},
        "e": {"rating": None},
        "D": {"rating": 0, "release_date": "2020-12-31"},
        "f": {"rating": 10, "release_date": "0001-01-01", "description": f"{mark} again"},
    }
    movies = {name: alice.api.create_movie(title=f"{mark} {name}", **row) for name, row in rows.items()}
    people[0].api.create_review(movies["a"], rating=5)
    for person in people[:3]:
        person.api.create_review(movies["D"], rating=1)
    return mark, movies


@pytest.fixture(scope="module")
def to_sort(alice: Account, people: list[Account]) -> tuple[str, dict[str, int]]:
    return movies_to_sort(alice, people)


ORDERS = {"title": "abCDef", "oldest": "fCabDe", "newest": "DabCfe", "rating": "fCabDe", "popular": "DaCbef"}


@pytest.mark.parametrize(("sort", "order"), ORDERS.items())
def test_search_comes_in_the_order_asked_for(
    anyone: Api, to_sort: tuple[str, dict[str, int]], sort: str, order: str
) -> None:
    mark, movies = to_sort
    found = ids(get(anyone, SEARCH, title=mark, sort=sort)["data"])
    reviewed = 2 if sort == "popular" else len(order)  # of the others nothing says which comes first
    assert found[:reviewed] == [movies[name] for name in order][:reviewed]
    assert set(found) == set(movies.values())


@pytest.mark.parametrize("sort", [*ORDERS, "relevance", None])
@pytest.mark.parametrize("limit", [1, 4])
def test_search_in_pages_is_search_at_once(
    anyone: Api, to_sort: tuple[str, dict[str, int]], sort: str | None, limit: int
) -> None:
    mark, movies = to_sort
    asked = {"q": mark, **({"sort": sort} if sort else {})}
    at_once = ids(get(anyone, SEARCH, **asked)["data"])
    assert ids(walk(anyone, SEARCH, limit=limit, **asked)) == at_once
    assert set(at_once) == set(movies.values())


def test_search_of_a_misspelt_word_comes_in_pages_too(
    anyone: Api, to_sort: tuple[str, dict[str, int]]
) -> None:
    mark, movies = to_sort
    misspelt = mark[:15] + mark[16:]
    assert sorted(ids(walk(anyone, SEARCH, limit=2, q=misspelt))) == sorted(movies.values())


@pytest.mark.parametrize("sort", ORDERS)
def test_movies_added_meanwhile_do_not_break_search(
    anyone: Api, alice: Account, people: list[Account], sort: str
) -> None:
    mark, _ = movies_to_sort(alice, people)
    asked = {"title": mark, "sort": sort}
    before = ids(get(anyone, SEARCH, **asked)["data"])
    first = get(anyone, SEARCH, limit=3, **asked)
    added = {
        alice.api.create_movie(title=f"{mark} {name}", rating=rating, release_date=day)
        for name, rating, day in [("0", 10, "0001-01-01"), ("z", 0, "9999-12-31"), ("b", 5, "1990-01-01")]
    }
    rest = walk(anyone, SEARCH, cursor=first["next_cursor"], **asked) if first.get("next_cursor") else []
    walked = ids(first["data"]) + ids(rest)
    assert [movie for movie in walked if movie not in added] == before
    assert len(walked) == len(set(walked))


@pytest.fixture(scope="module")
def reviewed(alice: Account, people: list[Account]) -> tuple[str, list[int]]:
    """Where a movie's reviews are, and their ids, in the order in which they came."""
    movie = alice.api.create_movie()
    reviews = [
        person.api.create_review(movie, rating=rating)
        for person, rating in zip(people, [7, 9.5, 7, 1], strict=True)
    ]
    people[0].api.put(f"/api/reviews/{reviews[1]}/like")
    for person in people[:3]:
        person.api.put(f"/api/reviews/{reviews[3]}/like")
    return f"/api/movies/{movie}/reviews", reviews


REVIEW_ORDERS = {
    "newest": [3, 2, 1, 0],
    "highest": [1, 0, 2, 3],
    "lowest": [3, 0, 2, 1],
    "likes": [3, 1, 0, 2],
}


@pytest.mark.parametrize(("sort", "order"), REVIEW_ORDERS.items())
@pytest.mark.parametrize("limit", [1, 3])
def test_reviews_come_in_the_order_asked_for_in_pages_of_any_size(
    anyone: Api, reviewed: tuple[str, list[int]], sort: str, order: list[int], limit: int
) -> None:
    path, reviews = reviewed
    rows = walk(anyone, path, sort=sort, limit=limit)
    key = {"newest": "id", "likes": "likes"}.get(sort, "rating")
    keys = [row[key] for row in rows]
    assert keys == sorted(keys, reverse=sort != "lowest")
    assert ids(rows) == [reviews[number] for number in order]


def test_reviews_come_the_newest_first_by_default(anyone: Api, reviewed: tuple[str, list[int]]) -> None:
    path, reviews = reviewed
    assert ids(get(anyone, path)["data"]) == reviews[::-1]


def test_a_page_of_reviews_always_tells_of_the_next(anyone: Api, reviewed: tuple[str, list[int]]) -> None:
    path, _ = reviewed
    assert get(anyone, path)["next_cursor"] is None
    assert isinstance(get(anyone, path, limit=1)["next_cursor"], str)


@pytest.mark.parametrize("sort", REVIEW_ORDERS)
def test_reviews_added_meanwhile_do_not_break_paging(
    anyone: Api, people: list[Account], movie: int, sort: str
) -> None:
    path = f"/api/movies/{movie}/reviews"
    before = [person.api.create_review(movie, rating=8) for person in people[:3]]
    first = get(anyone, path, sort=sort, limit=1)
    added = people[3].api.create_review(movie, rating=8)
    rest = walk(anyone, path, sort=sort, limit=1, cursor=first["next_cursor"])
    walked = [review for review in ids(first["data"]) + ids(rest) if review != added]
    assert sorted(walked) == sorted(before)


@pytest.mark.parametrize("letter", ["漢", "x", "🎬", "é", "ﷺ"])
def test_titles_as_long_as_can_be_come_in_pages(anyone: Api, alice: Account, letter: str) -> None:
    mark = unique()[:10]
    movies = {
        end: alice.api.create_movie(title=f"{mark}{letter * 288}{end}") for end in ("b", "a", "d", "c", "e")
    }
    rows, cursor = [], None
    while True:
        page = get(
            anyone, SEARCH, title=mark, sort="title", limit=1, **({"cursor": cursor} if cursor else {})
        )
        rows += ids(page["data"])
        if (cursor := page.get("next_cursor")) is None:
            break
        assert len(cursor) <= 800
    assert rows == [movies[end] for end in "abcde"]


@pytest.mark.parametrize("letters", [1, 280])
@pytest.mark.parametrize("gone", ["deleted", "renamed"])
def test_a_page_goes_on_where_its_last_movie_is_gone(
    anyone: Api, alice: Account, gone: str, letters: int
) -> None:
    mark = unique()[:10]
    movies = [alice.api.create_movie(title=f"{mark}{'漢' * letters}{end}") for end in "abcd"]
    first = get(anyone, SEARCH, title=mark, sort="title", limit=2)
    if gone == "deleted":
        alice.api.delete(f"/api/movies/{movies[1]}")
    else:
        alice.api.put(f"/api/movies/{movies[1]}", {"title": f"zz {mark}"})
    rest = ids(walk(anyone, SEARCH, title=mark, sort="title", limit=1, cursor=first["next_cursor"]))
    assert [movie for movie in rest if movie in movies[2:]] == movies[2:]
    assert len(rest) == len(set(rest)) <= len(movies)


def forged(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


FORGED = [
    *[["id", 0, True], ["id", 0, 5], ["id", 0.0, 1], ["id", "a", 1], ["id", None, 1], ["id", [], {}], ["id"]],
    *[
        ["rating", 5.0, 1],
        ["rating", True, 1],
        ["title", "a", 1],
        ["title", "a" * 700, 1],
        ["newest", 0.0, 1],
    ],
    *[{"id": 1}, [], 7, None, True, "id", [["id"], 0, 1], ["relevance", 0.5, 1], ["id", 0, 5, ""]],
]


@pytest.mark.parametrize(
    "path", ["/api/movies", SEARCH, f"{SEARCH}?sort=title", f"{SEARCH}?q=film", "/api/movies/{movie}/reviews"]
)
@pytest.mark.parametrize("content", FORGED, ids=str)
def test_a_forged_cursor_is_refused(anyone: Api, shared_movie: int, path: str, content: Any) -> None:
    path = path.format(movie=shared_movie)
    assert_error(anyone.get(path, params={"cursor": forged(content)}), 400, fields={"cursor"})


def test_a_cursor_belongs_to_its_order(anyone: Api, to_sort: tuple[str, dict[str, int]]) -> None:
    mark, _ = to_sort
    asked = {"q": mark, "limit": 1}
    cursors = {
        sort: get(anyone, SEARCH, sort=sort, **asked)["next_cursor"] for sort in [*ORDERS, "relevance"]
    }
    for sort in cursors:
        for other, cursor in cursors.items():
            answer = anyone.get(SEARCH, params={"sort": sort, "cursor": cursor, **asked})
            if sort == other:
                assert answer.status_code == 200
            else:
                assert_error(answer, 400, fields={"cursor"})


def test_a_cursor_by_relevance_belongs_to_its_query(anyone: Api, to_sort: tuple[str, dict[str, int]]) -> None:
    mark, _ = to_sort
    cursor = get(anyone, SEARCH, q=mark, limit=1)["next_cursor"]
    assert_error(anyone.get(SEARCH, params={"q": f"{mark} a", "cursor": cursor}), 400, fields={"cursor"})


@pytest.mark.parametrize("place", [0, 5, 20, 30, -1])
def test_a_cursor_with_one_letter_changed_is_refused(anyone: Api, many: list[int], place: int) -> None:
    cursor = get(anyone, SEARCH, sort="newest", limit=1)["next_cursor"]
    other = "A" if cursor[place] != "A" else "Q"
    changed = cursor[:place] + other + (cursor[place:][1:])
    assert_error(anyone.get(SEARCH, params={"sort": "newest", "cursor": changed}), 400, fields={"cursor"})


def test_every_gateway_and_service_takes_the_same_cursors(
    platform: Platform, to_sort: tuple[str, dict[str, int]]
) -> None:
    mark, movies = to_sort
    asked: dict[str, Any] = {"title": mark, "sort": "title", "limit": 1}
    rows: list[int] = []
    for number in range(len(movies)):
        page = get(Api(platform.gateways[number % len(platform.gateways)]), SEARCH, **asked)
        rows += ids(page["data"])
        asked["cursor"] = page.get("next_cursor")
    assert rows == [movies[name] for name in ORDERS["title"]]
