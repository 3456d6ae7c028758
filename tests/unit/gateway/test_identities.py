"""Keys and deny-list follow auth, whatever is announced and whatever auth answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import eventlet
import pytest
from nameko.exceptions import MethodNotFound

from auth import domain
from broker.errors import DeadlineExceeded
from broker.hints import MOST_WAITING, Question
from gateway import providers
from gateway.providers import Identities

KEY = domain.public_jwk(domain.new_signing_key(""), "")
SECONDS = 5


class FakeAuth:
    """Answers what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Any = {"keys": [KEY], "revoked": [], "staff": [], "renamed": []}
        self.confirmation: Any = {"users": [], "sessions": []}
        self.readings = 0
        self.questions: list[Question] = []

    def verification(self) -> Mapping[str, Any]:
        self.readings += 1
        return self._said(self.answer)

    def confirm(self, question: Question) -> Mapping[str, Any]:
        self.questions.append(question)
        return self._said(self.confirmation)

    @staticmethod
    def _said(answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def auth() -> FakeAuth:
    return FakeAuth()


@pytest.fixture
def identities(auth: FakeAuth) -> Iterator[Identities]:
    identities = Identities(auth, refresh_seconds=60)
    running = eventlet.spawn(identities.keep_fresh)
    until(lambda: identities.verifier.loaded or auth.readings > 0)
    yield identities
    running.kill()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        eventlet.sleep(0.005)


def revoked(session: str) -> dict[str, Any]:
    return {"session": session, "user_id": 7, "expires_at": int(time.time()) + 60}


def test_what_is_heard_takes_effect_once_auth_confirms_it(auth: FakeAuth, identities: Identities) -> None:
    auth.confirmation = {"users": [], "sessions": [revoked("gone")]}
    identities.heard_of_session("gone")
    identities.heard_of_session("forged")
    until(lambda: "gone" in identities.verifier._revoked)
    assert "forged" not in identities.verifier._revoked
    assert auth.questions == [Question([], ["gone", "forged"])]
    assert auth.readings == 1, "nothing else is read for it"


def test_a_flood_of_hints_is_a_few_readings(auth: FakeAuth, identities: Identities) -> None:
    for number in range(1, 20 * MOST_WAITING):
        identities.heard_of_user(number)
    until(lambda: auth.readings == 2)
    assert len(auth.questions) == 0


def test_by_an_auth_of_the_release_before_everything_is_read(auth: FakeAuth, identities: Identities) -> None:
    auth.confirmation = MethodNotFound("confirm")
    identities.heard_of_session("gone")
    until(lambda: auth.readings == 2)


@pytest.mark.parametrize(
    "answer", [DeadlineExceeded(), ValueError(), TypeError(), None, [], {}, {"users": 7, "sessions": []}]
)
def test_after_an_answer_that_is_none_everything_is_read_soon(
    auth: FakeAuth, identities: Identities, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "READ_AGAIN_SECONDS", 0.01)
    auth.confirmation = answer
    identities.heard_of_user(7)
    until(lambda: auth.readings == 2)


@pytest.mark.parametrize("answer", [TypeError(), None, [], {}, {"keys": []}, {"keys": 7, "revoked": []}])
def test_what_cannot_be_read_is_told_and_read_again(
    auth: FakeAuth, identities: Identities, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "READ_AGAIN_SECONDS", 0.01)
    assert identities.why_not_ready() is None
    good, auth.answer = auth.answer, answer
    identities.refresh_soon()
    until(lambda: identities.why_not_ready() == "What auth says of sign-ins cannot be read")
    auth.answer = good
    until(lambda: identities.why_not_ready() is None)


def test_an_auth_that_is_away_is_told_after_a_while(
    auth: FakeAuth, identities: Identities, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth.answer = DeadlineExceeded()
    assert not identities.refresh()
    assert identities.why_not_ready() is None
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3 * 60 + 3)
    assert identities.why_not_ready() == "What auth says of sign-ins has not been read for too long"
    monkeypatch.undo()


def test_nobody_is_checked_before_the_first_reading(auth: FakeAuth) -> None:
    assert Identities(auth, 60).why_not_ready() == "Sign-in cannot be checked yet"


def test_who_wants_a_reading_while_one_is_under_way_gets_another(
    auth: FakeAuth, identities: Identities
) -> None:
    read = auth.verification

    def slowly() -> Mapping[str, Any]:
        answer = read()
        if auth.readings == 2:
            identities.refresh_soon()
        eventlet.sleep(0.01)
        return answer

    auth.verification = slowly  # type: ignore[method-assign]
    identities.refresh_soon()
    until(lambda: auth.readings == 3)
