from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from movies.domain import PRIOR_WEIGHT, bayesian_rating, catalogue_mean

stars = st.integers(2, 20).map(lambda halves: halves / 2)
priors = st.floats(0, 10)


@given(priors)
def test_without_reviews_it_is_the_prior_to_the_last_bit(prior: float) -> None:
    assert bayesian_rating(prior, 0, 0.0, catalogue_mean=5.0) == prior


def test_with_neither_prior_nor_reviews_there_is_none() -> None:
    assert bayesian_rating(None, 0, 0.0, catalogue_mean=7.0) is None


@given(priors, st.lists(stars, min_size=1, max_size=200))
def test_it_is_the_prior_counted_ten_times_among_the_reviews(prior: float, ratings: list[float]) -> None:
    shown = bayesian_rating(prior, len(ratings), sum(ratings), catalogue_mean=None)
    everyone = [prior] * PRIOR_WEIGHT + ratings
    assert shown == pytest.approx(sum(everyone) / len(everyone))


@given(priors, st.lists(stars, min_size=1, max_size=200))
def test_it_lies_between_the_prior_and_what_reviews_say(prior: float, ratings: list[float]) -> None:
    shown = bayesian_rating(prior, len(ratings), sum(ratings), catalogue_mean=None)
    mean = sum(ratings) / len(ratings)
    assert shown is not None
    assert min(prior, mean) - 1e-9 <= shown <= max(prior, mean) + 1e-9


@given(st.floats(1, 10), stars)
def test_without_a_prior_the_catalogues_mean_is_the_prior(mean: float, rating: float) -> None:
    assert bayesian_rating(None, 1, rating, mean) == bayesian_rating(mean, 1, rating, None)


@given(priors, stars)
def test_many_reviews_outweigh_the_prior(prior: float, rating: float) -> None:
    shown = bayesian_rating(prior, 100_000, 100_000 * rating, catalogue_mean=None)
    assert shown == pytest.approx(rating, abs=0.002)


def test_an_empty_catalogue_has_no_mean() -> None:
    assert catalogue_mean(0, 0.0, 0, 0.0) is None


@given(st.lists(priors, max_size=20), st.lists(stars, max_size=50))
def test_in_the_catalogues_mean_a_prior_counts_as_ten_reviews(
    given_priors: list[float], ratings: list[float]
) -> None:
    votes = given_priors * PRIOR_WEIGHT + ratings
    mean = catalogue_mean(len(given_priors), sum(given_priors), len(ratings), sum(ratings))
    assert mean == (pytest.approx(sum(votes) / len(votes)) if votes else None)
