"""The checker of the rooms notices each way to miss an event, and nothing in a faultless log."""

from __future__ import annotations

import pytest

from tests.chaos.checker import Arrival
from tests.chaos.resumption import Answered, Asked, Findings, Heard, Record, Truth, judge, outstanding

LISTENER = ("one", "7")


def announced(number: int, *rooms: str, version: int | None = None, movie: int = 7) -> Arrival:
    return Arrival(f"e{number}", "review_created", movie, version or number, number, rooms)


# e1 to e9; movie 7 has all but e5, which is of movie 8.
TRUTH = Truth(
    [
        Arrival("created", "movie_created", 7, 1, None),
        *(announced(number, "7", "all") for number in range(1, 5)),
        announced(5, "8", "all", movie=8),
        announced(3, "7", "all"),  # delivered again
        *(announced(number, "7", "all") for number in range(6, 10)),
    ]
)


def heard(*numbers: int) -> list[Record]:
    return [Heard(f"e{number}", number) for number in numbers]


def join(last: str | None, recovered: bool, answer: str | None, *replayed: int) -> list[Record]:
    return [Asked(last), *heard(*replayed), Answered(recovered, answer)]


FIRST = join(None, False, "e1")


def findings(*log: Record) -> Findings:
    return judge({LISTENER: log}, TRUTH)


def wrong(found: Findings) -> dict[str, list[str]]:
    lists = ("missing", "twice", "disordered", "unexpected", "unplaced")
    return {name: what for name in lists if (what := getattr(found, name))}


def test_a_listener_that_stays_hears_all_after_its_first_answer() -> None:
    found = findings(*FIRST, *heard(2, 3, 4, 6, 7, 8, 9))
    assert wrong(found) == {}
    assert (found.first_joins, found.heard) == (1, 7)


def test_what_is_replayed_before_the_answer_or_after_it_closes_the_gap() -> None:
    before = findings(*FIRST, *heard(2), *join("e2", True, "e6", 3, 4, 6), *heard(7, 8, 9))
    after = findings(*FIRST, *heard(2), *join("e2", True, "e6"), *heard(3, 4, 6, 7, 8, 9))
    assert wrong(before) == wrong(after) == {}
    assert (before.resumed, before.replayed) == (1, 3)


def test_a_gap_that_was_said_to_be_closed_is_noticed() -> None:
    found = findings(*FIRST, *heard(2, 3), *join("e3", True, "e6"), *heard(7, 8, 9))
    assert wrong(found) == {"missing": ["one in 7: e4", "one in 7: e6"]}


def test_a_gap_at_the_end_is_noticed() -> None:
    assert len(findings(*FIRST, *heard(2, 3)).missing) == 5
    assert outstanding({LISTENER: [*FIRST, *heard(2, 3, 4, 6, 7, 8)]}, TRUTH) == 1


def test_a_gap_that_it_was_told_of_is_counted() -> None:
    found = findings(*FIRST, *heard(2), *join("e2", False, "e6"), *heard(7, 8, 9))
    assert wrong(found) == {}
    assert (found.restarted, found.skipped) == (1, 3)


def test_a_gap_before_or_after_the_one_that_it_was_told_of_is_noticed() -> None:
    before = findings(*FIRST, *heard(2, 4), *join("e4", False, "e6"), *heard(7, 8, 9))
    assert wrong(before) == {"missing": ["one in 7: e3"]}
    after = findings(*FIRST, *heard(2), *join("e2", False, "e6"), *heard(8, 9))
    assert wrong(after) == {"missing": ["one in 7: e7"]}


def test_a_part_of_what_was_missed_is_worse_than_nothing() -> None:
    found = findings(*FIRST, *heard(2), *join("e2", False, "e6", 4), *heard(7, 8, 9))
    assert wrong(found) == {"unexpected": ["one in 7: e4"]}


def test_what_comes_twice_is_noticed() -> None:
    assert findings(*FIRST, *heard(2, 3, 3, 4, 6, 7, 8, 9)).twice == ["one in 7: e3"]
    found = findings(*FIRST, *heard(2, 3), *join("e3", True, "e6", 3, 4, 6), *heard(7, 8, 9))
    assert wrong(found) == {"twice": ["one in 7: e3"]}


def test_what_comes_again_after_a_new_start_further_back_is_counted() -> None:
    found = findings(*FIRST, *heard(2, 3), *join("e3", False, "e2"), *heard(3, 4, 6, 7, 8, 9))
    assert wrong(found) == {}
    assert found.again == 1


def test_versions_of_a_movie_must_ascend_across_a_reconnect() -> None:
    found = findings(*FIRST, *heard(2, 4), *join("e4", True, "e6", 3, 6), *heard(7, 8, 9))
    assert wrong(found) == {"disordered": ["one in 7: movie 7: version 3 after 4"]}


@pytest.mark.parametrize("number", [5, 99])
def test_what_is_not_the_rooms_is_noticed(number: int) -> None:
    found = findings(*FIRST, *heard(2, 3, 4, number, 6, 7, 8, 9))
    assert wrong(found) == {"unexpected": [f"one in 7: e{number}"]}


def test_a_position_may_be_an_event_of_another_room() -> None:
    assert wrong(findings(*join(None, False, "e5"), *heard(6, 7, 8, 9))) == {}


def test_an_answer_without_a_position_is_noticed() -> None:
    assert wrong(findings(*join(None, False, None), *heard(8, 9))) == {"unplaced": ["one in 7"]}


def test_after_a_position_that_is_no_event_all_is_required_from_the_first_one_heard() -> None:
    found = findings(*join(None, False, "mark"), *heard(6, 8, 9))
    assert wrong(found) == {"missing": ["one in 7: e7"]}
    assert found.unknown == 1


def test_a_join_whose_connection_ended_before_the_answer_changes_nothing() -> None:
    log = [*FIRST, *heard(2), Asked("e2"), *heard(3), *join("e3", True, "e4", 4), *heard(6, 7, 8, 9)]
    found = findings(*log)
    assert wrong(found) == {}
    assert found.unanswered == 1


def test_what_is_heard_before_the_first_answer_is_a_position() -> None:
    log = [Asked(None), *heard(4), *join("e4", True, "e6", 6), *heard(7, 8, 9)]
    assert wrong(findings(*log)) == {}
    assert wrong(findings(*log[:-3], *heard(9))) == {"missing": ["one in 7: e7", "one in 7: e8"]}
