from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from movies.domain import (
    HALF_LIFE,
    NEVER,
    Aggregate,
    popularity,
    popularity_with,
    popularity_without,
)

moments = st.datetimes(datetime(2020, 1, 1), datetime(2120, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))
recent = st.datetimes(datetime(2026, 1, 1), datetime(2026, 3, 1)).map(lambda at: at.replace(tzinfo=UTC))


def decayed(reviews: list[datetime], now: datetime) -> float:
    """The rule itself: each review adds one, and what it added halves every half-life."""
    return math.fsum(2.0 ** -((now - review) / HALF_LIFE) for review in reviews)


def test_no_reviews_are_less_popular_than_the_oldest_one() -> None:
    assert popularity([]) == NEVER < popularity([datetime(1900, 1, 1, tzinfo=UTC)])


@given(st.lists(recent, min_size=1, max_size=30))
def test_it_is_the_decayed_count_at_any_later_time(reviews: list[datetime]) -> None:
    now = datetime(2026, 4, 1, tzinfo=UTC)
    elapsed = (now - datetime(2020, 1, 1, tzinfo=UTC)) / HALF_LIFE
    assert 2.0 ** (popularity(reviews) - elapsed) == pytest.approx(decayed(reviews, now))


@given(st.lists(recent, min_size=1, max_size=20), st.lists(recent, min_size=1, max_size=20))
def test_it_orders_films_as_the_decayed_counts_do(one: list[datetime], other: list[datetime]) -> None:
    now = datetime(2026, 4, 1, tzinfo=UTC)
    first, second = decayed(one, now), decayed(other, now)
    assume(not math.isclose(first, second, rel_tol=1e-9))
    assert (popularity(one) > popularity(other)) == (first > second)


@given(st.lists(moments, min_size=1, max_size=30), st.randoms())
def test_the_order_in_which_reviews_come_does_not_matter(reviews: list[datetime], random: object) -> None:
    shuffled = list(reviews)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert popularity(reviews) == pytest.approx(popularity(shuffled))


@given(st.lists(moments, min_size=1, max_size=30), moments)
def test_taking_a_review_back_undoes_it_or_says_that_it_cannot(
    reviews: list[datetime], moment: datetime
) -> None:
    before = popularity(reviews)
    after = popularity_without(popularity_with(before, moment), moment)
    assert after is None or after == pytest.approx(before, abs=1e-8)


@given(st.lists(recent, min_size=1, max_size=30), recent)
def test_taking_a_recent_review_back_needs_no_recount(reviews: list[datetime], moment: datetime) -> None:
    before = popularity(reviews)
    assert popularity_without(popularity_with(before, moment), moment) == pytest.approx(before, abs=1e-8)


def test_taking_the_only_review_back_asks_for_a_recount() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert popularity_without(popularity([moment]), moment) is None


def test_a_review_is_worth_two_of_a_half_life_ago() -> None:
    now = datetime(2026, 1, 8, tzinfo=UTC)
    assert popularity([now]) == pytest.approx(popularity([now - timedelta(days=7)] * 2))


def test_a_century_from_now_it_still_fits_a_float() -> None:
    assert math.isfinite(popularity([datetime(2126, 1, 1, tzinfo=UTC)] * 1000))


def test_an_aggregate_counts_what_comes_changes_and_goes() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    two = Aggregate(0, 0.0, NEVER).with_review(7.5, now).with_review(9, now)
    assert (two.review_count, two.rating_sum) == (2, 16.5)
    changed = two.with_rating_changed(9, 1)
    assert (changed.review_count, changed.rating_sum) == (2, 8.5)
    one = changed.without_review(1, popularity([now]))
    assert (one.review_count, one.rating_sum, one.popularity) == (1, 7.5, popularity([now]))
