"""Reviews: write, show, change, delete, like, and who may."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import Account, Api
from tests.contract.expect import assert_error, assert_message, get, ids

FULL = {"title": "A classic", "rating": 9.5, "body": "Worth every minute.\nTwice.", "spoiler": True}


def test_a_created_review_comes_back_as_it_was_sent(anyone: Api, bob: Account, movie: int) -> None:
    response = bob.api.post(f"/api/movies/{movie}/reviews", FULL)
    assert_message(response, "Review created", 201)
    shown = get(anyone, f"/api/reviews/{response.json()['id']}")
    assert shown == {
        **FULL,
        "id": response.json()["id"],
        "movie_id": movie,
        "user_id": bob.id,
        "username": bob.username,
        "likes": 0,
        "created_at": shown["created_at"],
        "updated_at": shown["created_at"],
    }


def test_a_created_review_is_where_location_says(anyone: Api, bob: Account, movie: int) -> None:
    response = bob.api.post(f"/api/movies/{movie}/reviews", FULL)
    location = response.headers["Location"].removeprefix(anyone.base)
    assert get(anyone, location)["id"] == response.json()["id"]


def test_only_title_and_rating_are_required(anyone: Api, bob: Account, movie: int) -> None:
    response = bob.api.post(f"/api/movies/{movie}/reviews", {"title": "Short", "rating": 7})
    shown = get(anyone, f"/api/reviews/{response.json()['id']}")
    assert (shown["body"], shown["spoiler"]) == ("", False)


@pytest.mark.parametrize("rating", [1, 1.5, 7.0, 9.5, 10])
def test_ratings_run_from_1_to_10_in_halves(anyone: Api, bob: Account, movie: int, rating: float) -> None:
    assert get(anyone, f"/api/reviews/{bob.api.create_review(movie, rating=rating)}")["rating"] == rating


def test_a_movie_lists_its_reviews(anyone: Api, bob: Account, carol: Account, movie: int) -> None:
    reviews = [person.api.create_review(movie) for person in (bob, carol)]
    body = get(anyone, f"/api/movies/{movie}/reviews")
    assert body == {
        "data": [get(anyone, f"/api/reviews/{review}") for review in reversed(reviews)],
        "next_cursor": None,
    }


def test_a_movie_without_reviews_lists_none(anyone: Api, movie: int) -> None:
    assert get(anyone, f"/api/movies/{movie}/reviews") == {"data": [], "next_cursor": None}


def test_one_review_a_person_and_movie(anyone: Api, bob: Account, movie: int) -> None:
    first = bob.api.create_review(movie)
    second = bob.api.post(f"/api/movies/{movie}/reviews", FULL)
    assert_error(second, 409, "You have already reviewed this movie", fields=set())
    assert ids(get(anyone, f"/api/movies/{movie}/reviews")["data"]) == [first]


def test_the_creator_of_a_movie_may_review_it(alice: Account, movie: int) -> None:
    assert alice.api.create_review(movie) > 0


@pytest.mark.parametrize(("field", "value"), FULL.items())
def test_any_field_alone_can_be_changed(
    anyone: Api, bob: Account, movie: int, field: str, value: Any
) -> None:
    path = f"/api/reviews/{bob.api.create_review(movie)}"
    before = get(anyone, path)
    assert_message(bob.api.put(path, {field: value}), "Review updated successfully")
    after = get(anyone, path)
    assert {name for name in after if after[name] != before[name]} == {field, "updated_at"}
    assert after[field] == value


def test_a_deleted_review_is_gone(anyone: Api, bob: Account, movie: int) -> None:
    review = bob.api.create_review(movie)
    assert_message(bob.api.delete(f"/api/reviews/{review}"), "Review deleted successfully")
    assert_error(anyone.get(f"/api/reviews/{review}"), 404, "Review not found")
    assert_error(bob.api.delete(f"/api/reviews/{review}"), 404, "Review not found")
    assert get(anyone, f"/api/movies/{movie}/reviews")["data"] == []


def test_after_a_deletion_the_movie_can_be_reviewed_again(bob: Account, movie: int) -> None:
    first = bob.api.create_review(movie)
    bob.api.delete(f"/api/reviews/{first}")
    assert bob.api.create_review(movie) != first


def test_another_may_neither_change_nor_delete_a_review(
    anyone: Api, alice: Account, bob: Account, movie: int
) -> None:
    path = f"/api/reviews/{bob.api.create_review(movie)}"
    before = get(anyone, path)
    assert_error(alice.api.put(path, {"title": "Not so"}), 403, fields=set())
    assert_error(alice.api.delete(path), 403, fields=set())
    assert get(anyone, path) == before


@pytest.mark.parametrize("staff", ["moderator", "admin"])
def test_staff_may_delete_anyones_review_and_not_change_it(
    anyone: Api, bob: Account, movie: int, staff: str, request: pytest.FixtureRequest
) -> None:
    who: Account = request.getfixturevalue(staff)
    path = f"/api/reviews/{bob.api.create_review(movie)}"
    before = get(anyone, path)
    assert_error(who.api.put(path, {"title": "Moderated"}), 403, fields=set())
    assert get(anyone, path) == before
    assert_message(who.api.delete(path), "Review deleted successfully")
    assert_error(anyone.get(path), 404, "Review not found")


def test_a_like_counts_once_however_often(anyone: Api, alice: Account, bob: Account, movie: int) -> None:
    path = f"/api/reviews/{bob.api.create_review(movie)}"
    for _ in range(3):
        response = alice.api.put(f"{path}/like")
        assert (response.status_code, response.json()) == (200, {"likes": 1})
    assert get(anyone, path)["likes"] == 1


def test_likes_of_several_people_add_up(alice: Account, bob: Account, carol: Account, movie: int) -> None:
    path = f"/api/reviews/{bob.api.create_review(movie)}/like"
    assert alice.api.put(path).json() == {"likes": 1}
    assert carol.api.put(path).json() == {"likes": 2}
    assert alice.api.delete(path).json() == {"likes": 1}


def test_a_like_is_taken_back_once_however_often(
    anyone: Api, alice: Account, bob: Account, movie: int
) -> None:
    path = f"/api/reviews/{bob.api.create_review(movie)}"
    alice.api.put(f"{path}/like")
    for _ in range(3):
        response = alice.api.delete(f"{path}/like")
        assert (response.status_code, response.json()) == (200, {"likes": 0})
    assert get(anyone, path)["likes"] == 0


def test_a_like_leaves_the_review_as_it_was(anyone: Api, alice: Account, bob: Account, movie: int) -> None:
    path = f"/api/reviews/{bob.api.create_review(movie)}"
    before = get(anyone, path)
    alice.api.put(f"{path}/like")
    assert get(anyone, path) == {**before, "likes": 1}


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_ones_own_review_cannot_be_liked(anyone: Api, bob: Account, movie: int, method: str) -> None:
    path = f"/api/reviews/{bob.api.create_review(movie)}"
    assert_error(bob.api.request(method, f"{path}/like"), 403, fields=set())
    assert get(anyone, path)["likes"] == 0


def test_a_change_of_a_review_keeps_its_likes(anyone: Api, alice: Account, bob: Account, movie: int) -> None:
    path = f"/api/reviews/{bob.api.create_review(movie)}"
    alice.api.put(f"{path}/like")
    bob.api.put(path, {"rating": 3})
    assert get(anyone, path)["likes"] == 1
