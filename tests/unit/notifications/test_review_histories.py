"""Which events are of movies' history."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from broker.history import History
from notifications import review_histories
from notifications.review_histories import ReviewHistories, Unknown

FIRST, SECOND, THIRD = "a" * 32, "b" * 32, "c" * 32
NOW = time.time()


class Movies:
    """Answers with what it is given, in turn; the last again and again."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.changes: list[tuple[str, bool]] = []

    async def __call__(self) -> Any:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def changed(self, to: History, was_known: bool) -> None:
        self.changes.append((to.id, was_known))


def said(number: int, history_id: str, *before: str) -> dict[str, Any]:
    return {"number": number, "id": history_id, "began_at": int(NOW) - 60, "before": list(before)}


def tell(*answers: Any) -> Callable[[Callable[[ReviewHistories], Awaitable[None]]], Movies]:
    def run(story: Callable[[ReviewHistories], Awaitable[None]]) -> Movies:
        movies = Movies(*answers)

        async def play() -> None:
            await story(ReviewHistories(movies, movies.changed))

        asyncio.run(play())
        return movies

    return run


def event(history_id: str) -> dict[str, Any]:
    return {"version": 7, "history": history_id}


def test_what_another_history_told_is_not_of_this_one() -> None:
    @tell(said(2, SECOND, FIRST))
    async def movies(histories: ReviewHistories) -> None:
        assert await histories.includes(event(SECOND), NOW)
        assert not await histories.includes(event(FIRST), NOW)
        # Of a release before histories: from before the restore, and from after it.
        assert not await histories.includes({"version": 7}, NOW - 3600)
        assert await histories.includes({"version": 7}, NOW)

    assert movies.asked == 1
    assert movies.changes == [(SECOND, False)]


def test_in_the_first_history_everything_of_before_counts() -> None:
    @tell(said(1, FIRST))
    async def movies(histories: ReviewHistories) -> None:
        assert await histories.includes({"version": 7}, NOW - 3600)
        assert await histories.includes(event(FIRST), NOW)

    assert movies.changes == []


def test_an_unknown_history_is_asked_for_and_no_more_often_than_allowed() -> None:
    @tell(said(1, FIRST), said(2, SECOND, FIRST))
    async def movies(histories: ReviewHistories) -> None:
        assert await histories.includes(event(FIRST), NOW)
        assert await histories.includes(event(SECOND), NOW)
        for _ in range(10):
            assert not await histories.includes(event(THIRD), NOW)

    assert movies.asked == 2
    assert movies.changes == [(SECOND, True)]


def test_movies_of_the_release_before_is_believed() -> None:
    @tell(None)
    async def movies(histories: ReviewHistories) -> None:
        assert await histories.includes(event(FIRST), NOW)
        assert await histories.includes({"version": 7}, NOW - 3600)

    assert movies.changes == []


def test_nothing_is_said_of_events_before_movies_has_answered(monkeypatch: Any) -> None:
    monkeypatch.setattr(review_histories, "AFTER_FAILURE_SECONDS", 0.0)

    @tell(Unknown(), {"number": "one"}, said(1, FIRST))
    async def movies(histories: ReviewHistories) -> None:
        assert await histories.includes(event(FIRST), NOW)

    assert movies.asked == 3
