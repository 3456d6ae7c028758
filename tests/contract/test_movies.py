"""Movies and TV shows: create, show, change, delete, and who may."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.clients import Account, Api
from tests.contract.expect import NOBODYS_ID, assert_error, assert_message, get, unique

FULL = {
    "title": "The Godfather",
    "description": "The ageing patriarch of a crime dynasty hands over to his reluctant son.",
    "rating": 9.2,
    "genre": "Crime, Drama",
    "poster_url": "https://example.com/godfather.jpg",
    "release_date": "1972-03-24",
    "kind": "movie",
    "director": "Francis Ford Coppola",
}


def test_a_created_movie_comes_back_as_it_was_sent(alice: Account, anyone: Api) -> None:
    response = alice.api.post("/api/movies", FULL)
    assert_message(response, "Movie created", 201)
    shown = get(anyone, f"/api/movies/{response.json()['id']}")
    assert {name: shown[name] for name in FULL} == FULL
    assert (shown["id"], shown["average_rating"], shown["review_count"]) == (response.json()["id"], None, 0)


def test_a_created_movie_is_where_location_says(alice: Account, anyone: Api) -> None:
    response = alice.api.post("/api/movies", FULL)
    location = response.headers["Location"].removeprefix(anyone.base)
    assert get(anyone, location)["id"] == response.json()["id"]


def test_a_movie_has_all_its_fields(anyone: Api, movie: int) -> None:
    shown = get(anyone, f"/api/movies/{movie}")
    assert set(shown) >= {
        *["id", "title", "description", "rating", "genre", "poster_url", "release_date"],
        *["kind", "director", "average_rating", "review_count", "created_at", "updated_at"],
    }


def test_only_the_title_is_required(anyone: Api, alice: Account) -> None:
    movie = get(anyone, f"/api/movies/{alice.api.create_movie(title='Bare')}")
    given = {name: movie[name] for name in FULL}
    assert given == {
        **{"title": "Bare", "description": "", "rating": None, "genre": "", "poster_url": ""},
        **{"release_date": None, "kind": "movie", "director": ""},
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("rating", value) for value in [0, 10.0, 8.25]),
        *(("kind", value) for value in ["movie", "tv"]),
        *(("release_date", value) for value in ["2024-02-29", "0001-01-01", "9999-12-31"]),
        *(("poster_url", value) for value in ["http://example.com/a?b=c#d"]),
        *(("title", value) for value in ["x" * 300, "0"]),
        *(("description", value) for value in ["Line\nafter line", "x" * 10_000]),
        *(("genre", value) for value in ["Action, Science Fiction, Drama"]),
    ],
)
def test_a_field_takes_what_it_should(anyone: Api, alice: Account, field: str, value: Any) -> None:
    movie = alice.api.create_movie(**{field: value})
    assert get(anyone, f"/api/movies/{movie}")[field] == value


@pytest.mark.parametrize(
    ("sent", "shown"),
    [("drama,crime", "drama, crime"), (" Drama ,, Crime , ", "Drama, Crime"), ("Drama, drama", "Drama")],
)
def test_genres_are_one_tidy_list(anyone: Api, alice: Account, sent: str, shown: str) -> None:
    assert get(anyone, f"/api/movies/{alice.api.create_movie(genre=sent)}")["genre"] == shown


def test_moments_are_iso_8601_in_utc(anyone: Api, movie: int) -> None:
    shown = get(anyone, f"/api/movies/{movie}")
    for name in ("created_at", "updated_at"):
        offset = datetime.fromisoformat(shown[name]).utcoffset()
        assert offset is not None
        assert not offset


@pytest.mark.parametrize(
    ("field", "value"),
    [*((name, value) for name, value in FULL.items() if name != "kind"), ("kind", "tv")],
)
def test_any_field_alone_can_be_changed(anyone: Api, alice: Account, field: str, value: Any) -> None:
    path = f"/api/movies/{alice.api.create_movie(rating=1, genre='War', director='Somebody')}"
    before = get(anyone, path)
    assert_message(alice.api.put(path, {field: value}), "Movie updated successfully")
    after = get(anyone, path)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {field, "updated_at"}
    assert after[field] == value


@pytest.mark.parametrize("field", ["rating", "release_date"])
def test_what_may_be_null_can_be_taken_back(anyone: Api, alice: Account, field: str) -> None:
    path = f"/api/movies/{alice.api.create_movie(rating=7, release_date='1999-03-31')}"
    assert alice.api.put(path, {field: None}).status_code == 200
    assert get(anyone, path)[field] is None


def test_a_deleted_movie_is_gone_with_its_reviews(
    anyone: Api, alice: Account, bob: Account, movie: int
) -> None:
    review = bob.api.create_review(movie)
    assert_message(alice.api.delete(f"/api/movies/{movie}"), "Movie deleted successfully")
    assert_error(anyone.get(f"/api/movies/{movie}"), 404, "Movie not found")
    assert_error(anyone.get(f"/api/movies/{movie}/reviews"), 404, "Movie not found")
    assert_error(anyone.get(f"/api/movies/{movie}/ratings"), 404, "Movie not found")
    assert_error(anyone.get(f"/api/reviews/{review}"), 404, "Review not found")
    assert_error(alice.api.delete(f"/api/movies/{movie}"), 404, "Movie not found")


def test_another_may_neither_change_nor_delete_a_movie(anyone: Api, bob: Account, movie: int) -> None:
    before = get(anyone, f"/api/movies/{movie}")
    assert_error(bob.api.put(f"/api/movies/{movie}", {"title": "Mine now"}), 403, fields=set())
    assert_error(bob.api.delete(f"/api/movies/{movie}"), 403, fields=set())
    assert get(anyone, f"/api/movies/{movie}") == before


@pytest.mark.parametrize("staff", ["moderator", "admin"])
def test_staff_may_change_and_delete_anyones_movie(
    anyone: Api, movie: int, staff: str, request: pytest.FixtureRequest
) -> None:
    who: Account = request.getfixturevalue(staff)
    title = unique()
    assert_message(who.api.put(f"/api/movies/{movie}", {"title": title}), "Movie updated successfully")
    assert get(anyone, f"/api/movies/{movie}")["title"] == title
    assert_message(who.api.delete(f"/api/movies/{movie}"), "Movie deleted successfully")
    assert_error(anyone.get(f"/api/movies/{movie}"), 404, "Movie not found")


def test_the_creator_may_still_change_what_staff_changed(
    alice: Account, moderator: Account, movie: int
) -> None:
    moderator.api.put(f"/api/movies/{movie}", {"title": "Moderated"})
    assert alice.api.put(f"/api/movies/{movie}", {"title": "Mine"}).status_code == 200


def test_who_may_not_change_a_movie_learns_first_that_it_is_not_there(bob: Account) -> None:
    assert_error(bob.api.delete(f"/api/movies/{NOBODYS_ID}"), 404, "Movie not found")


def test_status_says_that_the_database_is_connected(anyone: Api) -> None:
    assert get(anyone, "/api/movies/status") == {"status": "OK", "database": "Connected"}
