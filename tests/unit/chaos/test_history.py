"""What the chaos suite reads out of the record of requests."""

from __future__ import annotations

from tests.chaos.history import Attempt, longest_answer, outcomes, seconds_until_served


def attempts(second: int, *answers: str) -> list[Attempt]:
    """That began in the given second."""
    return [Attempt("read", 0, second + 0.5, 0.1, answer) for answer in answers]


def test_service_is_back_with_the_first_window_from_which_on_all_goes_well() -> None:
    record = [
        *attempts(9, "503"),  # before the return
        *attempts(10, "200"),  # luck
        *attempts(11, "503", "200"),
        *attempts(12, *["200"] * 100),
        *attempts(13, *["200"] * 200, "503"),  # 1 of 201
    ]
    assert seconds_until_served(record, since=10) == 2


def test_service_that_fails_at_the_end_is_not_back() -> None:
    assert seconds_until_served([*attempts(0, *["200"] * 9), *attempts(1, "504")], since=0) is None


def test_without_requests_nothing_is_known() -> None:
    assert seconds_until_served(attempts(1, "200"), since=5) is None


def test_the_longest_answer_counts_silence_and_not_closed_doors() -> None:
    record = [
        Attempt("read", 0, 0, 2.0, "200"),
        Attempt("read", 0, 0, 3.0, "504"),
        Attempt("read", 0, 0, 9.0, "refused"),
        Attempt("read", 0, 0, 8.0, "cut off"),
    ]
    assert longest_answer(record) == 3.0
    assert longest_answer([*record, Attempt("read", 0, 0, 20.0, "silent")]) == 20.0
    assert longest_answer([]) == 0


def test_outcomes_are_counted_by_status() -> None:
    assert outcomes(attempts(0, "503", "201", "503", "refused")) == "201: 1, 503: 2, refused: 1"
