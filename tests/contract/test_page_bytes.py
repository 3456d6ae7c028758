"""A page holds a bounded number of bytes, whatever people write, and says that there is more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.clients import Account, Api, sign_up
from tests.contract.expect import unique

MOST_BYTES = 2**20
# What JSON adds to a megabyte of text.
MOST_ANSWER_BYTES = 1.25 * MOST_BYTES
EMOJI = "\U0001f600"  # four bytes
FILMS = 60
REVIEWS = 30


@pytest.fixture(scope="module")
def mark() -> str:
    return unique()


@pytest.fixture(scope="module")
def long_films(gateway: str, mark: str) -> Iterator[list[int]]:
    """Films of 40 KB each, 2.4 MB together; gone afterwards, so that no other page is the longer for them."""
    writer = sign_up(gateway)
    films = [
        writer.api.create_movie(title=f"{mark} {number}", description=EMOJI * 10_000)
        for number in range(FILMS)
    ]
    yield films
    for film in films:
        writer.api.delete(f"/api/movies/{film}")


@pytest.fixture(scope="module")
def long_reviewer(gateway: str, long_films: list[int]) -> Account:
    """Reviews of 80 KB each, 2.4 MB together."""
    reviewer = sign_up(gateway)
    for film in long_films[:REVIEWS]:
        reviewer.api.create_review(film, title=EMOJI * 200, body=EMOJI * 20_000, rating=10)
    return reviewer


def checked(response: requests.Response) -> requests.Response:
    assert response.status_code == 200, response.text
    assert len(response.content) <= MOST_ANSWER_BYTES
    return response


def walked(api: Api, path: str, **parameters: object) -> list[list[int]]:
    """The ids of each page up to the last."""
    pages = []
    while True:
        answer = checked(api.get(path, params=parameters)).json()
        pages.append([row["id"] for row in answer["data"]])
        if answer.get("next_cursor") is None:
            return pages
        assert pages[-1]
        parameters["cursor"] = answer["next_cursor"]


@pytest.mark.parametrize("sort", ["rating", "popular", "newest", "title"])
@pytest.mark.parametrize("limit", [100, 1000])
def test_a_search_is_divided_by_its_bytes(
    anyone: Api, long_films: list[int], mark: str, sort: str, limit: int
) -> None:
    pages = walked(anyone, "/api/movies/search", title=mark, sort=sort, limit=limit)
    assert len(pages) == 3
    assert sorted(film for page in pages for film in page) == long_films


def test_a_full_text_search_likewise(anyone: Api, long_films: list[int], mark: str) -> None:
    pages = walked(anyone, "/api/movies/search", q=mark, limit=1000)
    assert sorted(film for page in pages for film in page) == long_films


def test_a_limit_that_fits_is_kept(anyone: Api, long_films: list[int], mark: str) -> None:
    pages = walked(anyone, "/api/movies/search", title=mark, limit=20)
    assert [len(page) for page in pages] == [20, 20, 20]


def test_the_list_of_all_says_that_there_is_more(anyone: Api, long_films: list[int]) -> None:
    response = anyone.get("/api/movies", params={"limit": 1000})
    seen: list[int] = []
    while True:
        seen += [row["id"] for row in checked(response).json()]
        if "next" not in response.links:
            break
        url = response.links["next"]["url"]
        response = anyone.get(url[url.index("/api/") :])
    assert seen == sorted(set(seen))
    assert set(long_films) <= set(seen)


def test_the_popular_are_as_many_as_fit(anyone: Api, long_reviewer: Account) -> None:
    films = checked(anyone.get("/api/movies/popular", params={"limit": 1000})).json()["data"]
    assert len(films) >= 25
    assert checked(anyone.get("/api/movies/popular", params={"limit": 20})).json()["data"] == films[:20]


def test_a_persons_reviews_are_divided_too(anyone: Api, long_reviewer: Account) -> None:
    pages = walked(anyone, f"/api/users/{long_reviewer.id}/reviews", limit=1000)
    assert len(pages) == 3
    reviews = [review for page in pages for review in page]
    assert len(reviews) == REVIEWS
    assert reviews == sorted(reviews, reverse=True)
