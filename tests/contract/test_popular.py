"""Popular: what people review now; and whether popular and search say truly where they come from."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import Account, Api
from tests.contract.expect import FROM_CACHE, FROM_DATABASE, assert_error, assert_message, get, ids, unique
from tests.platforms import Platform

POPULAR = "/api/movies/popular"


def popular(api: Api) -> list[int]:
    return ids(get(api, POPULAR, limit=1000)["data"])


def test_each_review_makes_a_movie_more_popular(anyone: Api, alice: Account, people: list[Account]) -> None:
    once, thrice, twice = (alice.api.create_movie() for _ in range(3))
    for movie, count in ((once, 1), (thrice, 3), (twice, 2)):
        for person in people[:count]:
            person.api.create_review(movie, rating=5)
    order = [movie for movie in popular(anyone) if movie in (once, twice, thrice)]
    assert order == [thrice, twice, once]


def test_popularity_counts_reviews_whatever_they_say(
    anyone: Api, alice: Account, people: list[Account]
) -> None:
    loved, hated = (alice.api.create_movie(rating=5) for _ in range(2))
    people[0].api.create_review(loved, rating=10)
    for person in people[:2]:
        person.api.create_review(hated, rating=1)
    order = popular(anyone)
    assert order.index(hated) < order.index(loved)


def test_a_deleted_review_makes_a_movie_less_popular(
    anyone: Api, alice: Account, people: list[Account]
) -> None:
    falling, other = (alice.api.create_movie() for _ in range(2))
    reviews = [person.api.create_review(falling) for person in people[:3]]
    for person in people[:2]:
        person.api.create_review(other)
    order = popular(anyone)
    assert order.index(falling) < order.index(other)
    for person, review in list(zip(people, reviews, strict=False))[:2]:
        person.api.delete(f"/api/reviews/{review}")
    order = popular(anyone)
    assert order.index(other) < order.index(falling)


def test_a_reviewed_movie_comes_before_one_without_reviews(anyone: Api, alice: Account, bob: Account) -> None:
    unseen = alice.api.create_movie(rating=10)
    seen = alice.api.create_movie(rating=1)
    bob.api.create_review(seen, rating=1)
    order = popular(anyone)
    assert seen in order
    assert unseen not in order or order.index(seen) < order.index(unseen)


def test_popular_has_10_by_default_and_as_many_as_asked_for(anyone: Api, alice: Account) -> None:
    for _ in range(11):
        alice.api.create_movie(rating=10)
    assert len(get(anyone, POPULAR)["data"]) == 10
    assert len(get(anyone, POPULAR, limit=3)["data"]) == 3
    assert get(anyone, POPULAR)["data"] == get(anyone, POPULAR, limit=11)["data"][:10]


def test_popular_answers_movies_as_they_are_shown_alone(anyone: Api, bob: Account, movie: int) -> None:
    bob.api.create_review(movie)
    rows = {row["id"]: row for row in get(anyone, POPULAR, limit=1000)["data"]}
    assert rows[movie] == get(anyone, f"/api/movies/{movie}")


CACHED = [
    f"{POPULAR}?limit=7",
    "/api/movies/search?genre=drama&limit=5",
    "/api/movies/search?q=night&limit=5",
]


@pytest.mark.parametrize("path", CACHED)
def test_the_first_answer_is_from_the_database_and_the_next_from_the_cache(
    anyone: Api, movie: int, path: str
) -> None:
    first, second = get(anyone, path), get(anyone, path)
    assert first["message"] == FROM_DATABASE
    assert second == {**first, "message": FROM_CACHE}


def test_every_gateway_answers_from_the_same_cache(platform: Platform, movie: int) -> None:
    path = f"{POPULAR}?limit=9"
    said = [get(Api(gateway), path)["message"] for gateway in (*platform.gateways, *platform.gateways)]
    assert said == [FROM_DATABASE, *[FROM_CACHE] * (len(said) - 1)]


def test_another_question_is_not_answered_from_the_cache(anyone: Api, movie: int) -> None:
    search = "/api/movies/search"
    get(anyone, search, title="x", limit=5)
    for other in (
        {"title": "y"},
        {"director": "x"},
        {"title": "x", "kind": "tv"},
        {"title": "x", "sort": "title"},
    ):
        assert get(anyone, search, limit=5, **other)["message"] == FROM_DATABASE


def test_a_question_that_was_refused_is_refused_again(anyone: Api) -> None:
    for _ in range(2):
        assert_error(anyone.get(f"{POPULAR}?limit=0"), 400, fields={"limit"})


WRITES = [
    *["create a movie", "change a movie", "delete a movie"],
    *["create a review", "change a review", "delete a review"],
]


@pytest.mark.parametrize("write", WRITES)
def test_after_a_write_the_answer_is_from_the_database_and_new(
    anyone: Api, alice: Account, bob: Account, write: str
) -> None:
    mark = unique()
    movie = alice.api.create_movie(title=mark)
    review = bob.api.create_review(movie)
    searched: dict[str, Any] = {}
    for _ in range(2):
        get(anyone, f"{POPULAR}?limit=8")
        searched = get(anyone, "/api/movies/search", title=mark)
    assert searched["message"] == FROM_CACHE
    match write:
        case "create a movie":
            alice.api.create_movie(title=f"Another {mark}")
        case "change a movie":
            alice.api.put(f"/api/movies/{movie}", {"genre": "War"})
        case "delete a movie":
            alice.api.delete(f"/api/movies/{movie}")
        case "create a review":
            alice.api.create_review(movie)
        case "change a review":
            bob.api.put(f"/api/reviews/{review}", {"rating": 2})
        case "delete a review":
            bob.api.delete(f"/api/reviews/{review}")
    assert get(anyone, f"{POPULAR}?limit=8")["message"] == FROM_DATABASE
    after = get(anyone, "/api/movies/search", title=mark)
    assert after["message"] == FROM_DATABASE
    assert after["data"] != searched["data"]


def test_a_cleared_cache_makes_the_next_answer_come_from_the_database(anyone: Api, admin: Account) -> None:
    for _ in range(2):
        get(anyone, POPULAR)
    assert get(anyone, POPULAR)["message"] == FROM_CACHE
    assert_message(admin.api.delete("/api/movies/cache/clear"), "All cache cleared successfully")
    assert get(anyone, POPULAR)["message"] == FROM_DATABASE


def test_none_but_an_admin_may_clear_the_cache(anyone: Api, alice: Account, moderator: Account) -> None:
    get(anyone, POPULAR)
    for who in (alice, moderator):
        assert_error(who.api.delete("/api/movies/cache/clear"), 403, fields=set())
    assert get(anyone, POPULAR)["message"] == FROM_CACHE


def test_without_a_token_the_cache_is_not_cleared(anyone: Api) -> None:
    get(anyone, POPULAR)
    assert_error(anyone.delete("/api/movies/cache/clear"), 401, fields=set())
    assert get(anyone, POPULAR)["message"] == FROM_CACHE
