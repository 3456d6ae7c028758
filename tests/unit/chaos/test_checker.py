"""The checker of the chaos suite notices each kind of violation, and nothing in a faultless run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.checker import Aggregate, Arrival, Observed, ReviewRow, check
from tests.chaos.history import Write


def write(user: int, review: int | None, *before: str, movie: int = 1, rating: float = 8.0) -> Write:
    """A write that got the answers `before`, and then the acknowledgement of `review` unless that is None."""
    told = [] if review is None else [review]
    return Write(user, movie, rating, "token", f"key-{user}", [*before, *["201" for _ in told]], told)


def announced(review: int, version: int, event: str | None = None, movie: int = 1) -> Arrival:
    return Arrival(event or f"event-{review}", "review_created", movie, version, review)


@pytest.fixture
def faultless() -> Observed:
    """Three users review movie 1; the second had to ask twice."""
    return Observed(
        writes=[write(1, 11), write(2, 12, "503"), write(3, 13, rating=5.0)],
        rows=[ReviewRow(11, 1, 1, 8.0), ReviewRow(12, 2, 1, 8.0), ReviewRow(13, 3, 1, 5.0)],
        served=[11, 12, 13],
        arrivals=[
            Arrival("created", "movie_created", 1, 1, None),
            announced(11, 2),
            announced(12, 3),
            announced(11, 2),
            announced(13, 4),
        ],
        heard={"all": ["event-11", "event-12", "event-13"]},
        rooms={"all": None},
        aggregates=[Aggregate(0, 1, 3, 7.0), Aggregate(1, 1, 3, 7.0)],
    )


def test_a_faultless_run_has_no_violation(faultless: Observed) -> None:
    verdict = check(faultless)
    assert verdict.violations == {}
    assert verdict.acknowledged == 3


def test_what_is_allowed_is_counted(faultless: Observed) -> None:
    faultless.heard = {"all": ["event-12"]}
    verdict = check(faultless)
    assert verdict.violations == {}
    assert verdict.reviews.recovered == [12]
    assert verdict.redelivered == 1
    assert verdict.missed == 2


def test_a_listener_of_one_movie_misses_only_what_is_its_movies(faultless: Observed) -> None:
    faultless.heard = {"2 at notifier 0": []}
    faultless.rooms = {"2 at notifier 0": 2}
    assert check(faultless).missed == 0


def test_an_acknowledged_review_without_a_row_is_lost(faultless: Observed) -> None:
    faultless.rows = faultless.rows[1:]
    verdict = check(faultless)
    assert verdict.reviews.lost == [11]
    assert verdict.events.unexpected == [11]


def test_an_acknowledged_review_that_rest_does_not_list_is_noticed(faultless: Observed) -> None:
    faultless.served = [11, 13]
    assert check(faultless).violations == {"acknowledged reviews not served": [12]}


def test_a_second_row_of_one_write_is_a_duplicate(faultless: Observed) -> None:
    second = ReviewRow(14, 1, 1, 8.0)
    faultless.rows = [*faultless.rows, second]
    verdict = check(faultless)
    assert verdict.reviews.duplicated == [second]
    assert verdict.events.lost == [14]


def test_another_row_than_the_acknowledged_one_is_lost_and_duplicated(faultless: Observed) -> None:
    other = ReviewRow(99, 1, 1, 8.0)
    faultless.rows = [other, *faultless.rows[1:]]
    verdict = check(faultless)
    assert verdict.reviews.lost == [11]
    assert verdict.reviews.duplicated == [other]


def test_two_acknowledgements_of_one_key_must_name_one_review(faultless: Observed) -> None:
    faultless.writes[0].told.append(15)
    verdict = check(faultless)
    assert verdict.reviews.lost == [15]
    assert verdict.reviews.duplicated == ["key-1"]


@pytest.mark.parametrize("row", [ReviewRow(14, 9, 1, 8.0), ReviewRow(14, 4, 1, 2.0)])
def test_a_row_that_nobody_asked_for_is_unexpected(faultless: Observed, row: ReviewRow) -> None:
    faultless.writes = [*faultless.writes, write(4, None, "503")]
    faultless.rows = [*faultless.rows, row]
    assert check(faultless).reviews.unexpected == [row]


def test_a_write_that_was_never_acknowledged_is_noticed(faultless: Observed) -> None:
    faultless.writes = [*faultless.writes, write(4, None, "504", "cut off")]
    verdict = check(faultless)
    assert verdict.unacknowledged == ["key-4"]
    assert verdict.contradicted == []


def test_a_row_whose_write_was_never_acknowledged_is_recovered(faultless: Observed) -> None:
    faultless.writes = [*faultless.writes, write(4, None, "504")]
    faultless.rows = [*faultless.rows, ReviewRow(14, 4, 1, 8.0)]
    assert check(faultless).reviews.recovered == [12, 14]


def test_a_conflict_told_to_the_only_one_who_asked_is_noticed(faultless: Observed) -> None:
    faultless.writes = [*faultless.writes, write(4, None, "504", "409")]
    assert check(faultless).contradicted == ["key-4"]


def test_too_many_requests_is_no_contradiction() -> None:
    assert not write(4, None, "429").settled
    assert write(4, None, "409").settled
    assert write(4, 11, "503").settled


def test_a_row_without_an_event_is_a_lost_event(faultless: Observed) -> None:
    faultless.arrivals = [each for each in faultless.arrivals if each.review != 13]
    assert check(faultless).violations == {"events lost": [13]}


def test_two_ids_for_one_review_are_a_duplicate(faultless: Observed) -> None:
    faultless.arrivals = [*faultless.arrivals, announced(11, 5, "another id")]
    assert check(faultless).violations == {"events duplicated": [11]}


def test_an_event_of_no_review_is_unexpected(faultless: Observed) -> None:
    faultless.arrivals = [*faultless.arrivals, announced(77, 5)]
    assert check(faultless).violations == {"events unexpected": [77]}


def test_versions_must_ascend_when_events_first_come(faultless: Observed) -> None:
    created, first, second, again, third = faultless.arrivals
    faultless.arrivals = [created, second, first, again, third]
    assert check(faultless).violations == {"events out of order": ["movie 1: version 2 after 3"]}


def test_the_versions_of_two_movies_have_nothing_to_do_with_each_other(faultless: Observed) -> None:
    other = Arrival("other", "movie_created", 2, 1, None)
    faultless.arrivals = [*faultless.arrivals, other]
    assert check(faultless).disordered == []


def test_an_event_heard_twice_by_one_listener_is_noticed(faultless: Observed) -> None:
    faultless.heard = {"all": ["event-11", "event-12", "event-13", "event-11"], "1": ["event-11"]}
    assert check(faultless).violations == {"heard twice in a room": ["all: event-11"]}


@pytest.mark.parametrize("wrong", [{"review_count": 4}, {"average_rating": 7.25}, {"average_rating": None}])
def test_aggregates_must_be_exact_at_every_gateway(faultless: Observed, wrong: dict[str, object]) -> None:
    right, second = faultless.aggregates
    faultless.aggregates = [right, replace(second, **wrong)]  # type: ignore[arg-type]
    (found,) = check(faultless).wrong_aggregates
    assert found.startswith("movie 1 at gateway 1: ")


def test_a_movie_without_reviews_has_no_average(faultless: Observed) -> None:
    faultless.aggregates = [Aggregate(0, 2, 0, None)]
    assert check(faultless).wrong_aggregates == []
