"""What was announced is asked about together, and never without bound."""

from __future__ import annotations

from broker.hints import MOST_ASKED, MOST_WAITING, Hints, Question


def test_what_came_is_asked_about_once_in_its_order() -> None:
    hints = Hints()
    assert hints.take() is None
    for user in (3, 1, 3, 2):
        hints.of_user(user)
    hints.of_session("s")
    assert hints.take() == Question([3, 1, 2], ["s"])
    assert hints.take() is None


def test_a_question_has_a_bound_and_the_rest_is_asked_next() -> None:
    hints = Hints()
    for number in range(MOST_ASKED + 1):
        hints.of_session(str(number))
    first, second = hints.take(), hints.take()
    assert first is not None
    assert len(first.sessions) == MOST_ASKED
    assert second == Question([], [str(MOST_ASKED)])


def test_of_too_many_everything_is_read_instead() -> None:
    hints = Hints()
    for number in range(1, MOST_WAITING + 1):
        hints.of_user(number)
    hints.of_user(1)
    assert not hints.are_too_many, "one that waits already is not one more"
    hints.of_user(MOST_WAITING + 1)
    assert hints.are_too_many
    hints.forget()
    assert (hints.are_too_many, hints.take()) == (False, None)
