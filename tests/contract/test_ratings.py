"""The rating that moves from the prior to what people say; the mean, the count and the histogram."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import Account, Api
from tests.contract.expect import get

PRIOR_WEIGHT = 10


def shown(api: Api, movie: int) -> tuple[Any, Any, Any]:
    row = get(api, f"/api/movies/{movie}")
    return row["rating"], row["average_rating"], row["review_count"]


def expected(prior: float, *ratings: float) -> tuple[Any, Any, int]:
    """What a movie of `prior` shows after reviews of `ratings`: (m·prior + Σ) / (m + n), mean and count."""
    count = len(ratings)
    rating = (PRIOR_WEIGHT * prior + sum(ratings)) / (PRIOR_WEIGHT + count)
    mean = pytest.approx(sum(ratings) / count, abs=1e-9) if ratings else None
    return pytest.approx(rating, abs=1e-9), mean, count


def review_by_all(people: list[Account], movie: int, ratings: list[float]) -> list[int]:
    return [
        person.api.create_review(movie, rating=rating)
        for person, rating in zip(people, ratings, strict=False)
    ]


def test_with_neither_prior_nor_reviews_the_rating_is_null(anyone: Api, movie: int) -> None:
    assert shown(anyone, movie) == (None, None, 0)


@pytest.mark.parametrize("prior", [0, 0.1, 5, 8.6, 10])
def test_without_reviews_the_rating_is_what_was_sent(anyone: Api, alice: Account, prior: float) -> None:
    assert shown(anyone, alice.api.create_movie(rating=prior)) == (prior, None, 0)


@pytest.mark.parametrize("ratings", [[10], [7.5, 3], [1, 4.5, 8, 9.5]], ids=str)
@pytest.mark.parametrize("prior", [0, 6.3, 10])
def test_reviews_move_the_rating_from_its_prior(
    anyone: Api, alice: Account, people: list[Account], prior: float, ratings: list[float]
) -> None:
    movie = alice.api.create_movie(rating=prior)
    review_by_all(people, movie, ratings)
    assert shown(anyone, movie) == expected(prior, *ratings)


def test_a_changed_review_changes_the_rating(anyone: Api, alice: Account, people: list[Account]) -> None:
    movie = alice.api.create_movie(rating=6)
    reviews = review_by_all(people, movie, [8, 2])
    people[1].api.put(f"/api/reviews/{reviews[1]}", {"rating": 9.5})
    assert shown(anyone, movie) == expected(6, 8, 9.5)


def test_a_review_changed_in_words_alone_leaves_the_rating(
    anyone: Api, alice: Account, people: list[Account]
) -> None:
    movie = alice.api.create_movie(rating=6)
    (review,) = review_by_all(people, movie, [8])
    people[0].api.put(f"/api/reviews/{review}", {"title": "On reflection"})
    assert shown(anyone, movie) == expected(6, 8)


def test_a_deleted_review_counts_no_more(anyone: Api, alice: Account, people: list[Account]) -> None:
    movie = alice.api.create_movie(rating=6)
    reviews = review_by_all(people, movie, [8, 2, 5.5])
    people[1].api.delete(f"/api/reviews/{reviews[1]}")
    assert shown(anyone, movie) == expected(6, 8, 5.5)
    for number in (0, 2):
        people[number].api.delete(f"/api/reviews/{reviews[number]}")
    assert shown(anyone, movie) == expected(6)


def test_a_review_written_again_counts_once(anyone: Api, bob: Account, alice: Account) -> None:
    movie = alice.api.create_movie(rating=6)
    bob.api.delete(f"/api/reviews/{bob.api.create_review(movie, rating=1)}")
    bob.api.create_review(movie, rating=9)
    assert shown(anyone, movie) == expected(6, 9)


def test_a_new_prior_moves_the_rating_too(anyone: Api, alice: Account, people: list[Account]) -> None:
    movie = alice.api.create_movie(rating=6)
    review_by_all(people, movie, [8, 9])
    alice.api.put(f"/api/movies/{movie}", {"rating": 2})
    assert shown(anyone, movie) == expected(2, 8, 9)


def test_another_change_of_the_movie_leaves_its_prior(
    anyone: Api, alice: Account, people: list[Account]
) -> None:
    movie = alice.api.create_movie(rating=6)
    review_by_all(people, movie, [8])
    alice.api.put(f"/api/movies/{movie}", {"genre": "Drama"})
    assert shown(anyone, movie) == expected(6, 8)


def test_without_a_prior_the_rating_lies_between_the_catalogues_mean_and_the_reviews(
    anyone: Api, alice: Account, bob: Account
) -> None:
    alice.api.create_movie(rating=5)  # so that the catalogue has a mean between the two
    low, high = alice.api.create_movie(), alice.api.create_movie()
    bob.api.create_review(low, rating=1)
    bob.api.create_review(high, rating=10)
    (low_rating, *low_rest), (high_rating, *high_rest) = shown(anyone, low), shown(anyone, high)
    assert (low_rest, high_rest) == ([1, 1], [10, 1])
    # Both shrink towards the same mean, which is far from 1 and from 10: one vote against ten.
    assert 1 < low_rating < high_rating < 10
    means = [
        ((PRIOR_WEIGHT + 1) * rating - review) / PRIOR_WEIGHT
        for rating, review in [(low_rating, 1), (high_rating, 10)]
    ]
    assert means[0] == pytest.approx(means[1], abs=1)
    assert all(low_rating < mean < high_rating for mean in means)


def test_without_a_prior_the_rating_is_null_again_after_the_last_review(
    anyone: Api, bob: Account, movie: int
) -> None:
    bob.api.delete(f"/api/reviews/{bob.api.create_review(movie)}")
    assert shown(anyone, movie) == (None, None, 0)


def test_the_list_and_the_search_show_the_same_rating(anyone: Api, alice: Account, bob: Account) -> None:
    movie = alice.api.create_movie(rating=6)
    bob.api.create_review(movie, rating=9.5)
    alone = get(anyone, f"/api/movies/{movie}")
    assert get(anyone, "/api/movies/search", title=alone["title"])["data"] == [alone]
    assert alone in get(anyone, "/api/movies/popular", limit=1000)["data"]


def test_the_histogram_of_a_movie_without_reviews_is_all_zero(anyone: Api, movie: int) -> None:
    counts = get(anyone, f"/api/movies/{movie}/ratings")
    assert list(counts) == [str(rating) for rating in range(1, 11)]
    assert set(counts.values()) == {0}


@pytest.mark.parametrize(
    ("ratings", "counts"),
    [
        ([1, 10, 10, 5], {"1": 1, "5": 1, "10": 2}),
        ([1.5, 2, 9.5, 10], {"2": 2, "10": 2}),
        ([2.5, 6.5, 8.5, 4.5], {"3": 1, "7": 1, "9": 1, "5": 1}),
    ],
    ids=str,
)
def test_the_histogram_counts_reviews_half_points_rounded_up(
    anyone: Api, people: list[Account], movie: int, ratings: list[float], counts: dict[str, int]
) -> None:
    review_by_all(people, movie, ratings)
    given = get(anyone, f"/api/movies/{movie}/ratings")
    assert {rating: count for rating, count in given.items() if count} == counts


def test_the_histogram_follows_changes_and_deletions(anyone: Api, people: list[Account], movie: int) -> None:
    reviews = review_by_all(people, movie, [3, 3])
    people[0].api.put(f"/api/reviews/{reviews[0]}", {"rating": 8})
    people[1].api.delete(f"/api/reviews/{reviews[1]}")
    given = get(anyone, f"/api/movies/{movie}/ratings")
    assert {rating: count for rating, count in given.items() if count} == {"8": 1}
