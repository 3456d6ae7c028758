"""Auth is asked once for all who ask at the time, and nobody waits for one that is away."""

from __future__ import annotations

import time
from typing import Any

import eventlet
import pytest
from eventlet.event import Event
from nameko.exceptions import MethodNotFound

from broker.errors import DeadlineExceeded, ServiceUnavailable
from movies import accounts
from movies.accounts import Accounts


class FakeAuth:
    """Knows users up to 50; answers once it may."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.may_answer = Event()
        self.error: Exception | None = None

    def __call__(self, users: list[int]) -> Any:
        self.asked.append(sorted(users))
        self.may_answer.wait()
        if self.error is not None:
            raise self.error
        known = [user for user in users if user <= 50]
        return {
            "users": [{"id": user, "username": f"u{user}", "role": "user", "version": 1} for user in known],
            "sessions": [],
        }


@pytest.fixture
def auth() -> FakeAuth:
    return FakeAuth()


def test_who_asks_while_auth_is_asked_is_asked_about_next(auth: FakeAuth) -> None:
    asker = Accounts(auth, most_waiting=10)
    asking = [eventlet.spawn(asker.now, 1)]
    eventlet.sleep(0)
    eventlet.sleep(0)
    asking += [eventlet.spawn(asker.now, user) for user in (2, 3, 99)]
    eventlet.sleep(0)
    auth.may_answer.send()
    answers = [each.wait() for each in asking]
    assert auth.asked == [[1], [2, 3, 99]]
    assert [answer and answer.username for answer in answers] == ["u1", "u2", "u3", None]


def test_no_more_wait_than_may(auth: FakeAuth) -> None:
    asker = Accounts(auth, most_waiting=2)
    asking = [eventlet.spawn(asker.now, user) for user in (1, 2)]
    eventlet.sleep(0)
    with pytest.raises(ServiceUnavailable):
        asker.now(3)
    auth.may_answer.send()
    assert [each.wait().id for each in asking] == [1, 2]


@pytest.mark.parametrize("error", [DeadlineExceeded(), MethodNotFound("confirm"), TypeError(), ValueError()])
def test_for_one_that_does_not_answer_nobody_waits_a_while(
    auth: FakeAuth, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker = Accounts(auth, most_waiting=10)
    auth.error = error
    auth.may_answer.send()
    for _ in range(3):
        with pytest.raises(ServiceUnavailable):
            asker.now(1)
    assert len(auth.asked) == 1
    auth.error, now = None, time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + accounts.AWAY_SECONDS + 1)
    found = asker.now(1)
    monkeypatch.undo()
    assert found is not None
