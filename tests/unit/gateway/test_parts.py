"""What the gateway makes of the services' answers, and of their silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from nameko.exceptions import MethodNotFound

from broker.errors import DeadlineExceeded
from gateway import parts
from gateway.parts import NOT_THERE, SILENT_SECONDS, STANDS_STILL, Part

WELL = {"status": "OK", "database": "Connected"}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(parts.time, "monotonic", lambda: now[0])
    return now


class Service:
    def __init__(self) -> None:
        self.answer: Mapping[str, Any] | Exception = WELL
        self.is_consuming: bool | None = True

    def status(self) -> Mapping[str, Any]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def looked_at(service: Service) -> Part:
    part = Part("movies", service.status, lambda: service.is_consuming)
    part.look()
    return part


def test_before_it_was_asked_nobody_knows() -> None:
    assert Part("movies", Service().status, lambda: True).trouble is not None


def test_a_service_says_what_it_lacks() -> None:
    service = Service()
    part = looked_at(service)
    assert part.trouble is None
    service.answer = {"status": "ERROR", "database": "Not connected", "error": "The database is read-only"}
    part.look()
    assert part.trouble is not None
    assert part.trouble.sentence == "The movies service cannot serve: The database is read-only"


def test_one_that_has_no_such_method_is_there() -> None:
    service = Service()
    service.answer = MethodNotFound("status")
    assert looked_at(service).trouble is None


@pytest.mark.parametrize("answer", [None, [], "OK", KeyError("status")])
def test_an_answer_that_is_none_ends_nothing(answer: Any) -> None:
    service = Service()
    service.answer = answer
    part = looked_at(service)
    assert part.trouble is not None
    assert part.trouble.sentence == "The movies service does not say how it is"


@pytest.mark.parametrize(
    ("is_consuming", "detail"), [(True, STANDS_STILL), (False, NOT_THERE), (None, str(DeadlineExceeded()))]
)
def test_silence_counts_once_it_has_lasted(
    clock: list[float], is_consuming: bool | None, detail: str
) -> None:
    service = Service()
    service.answer, service.is_consuming = DeadlineExceeded(), is_consuming
    part = looked_at(service)
    assert part.trouble is None
    clock[0] += SILENT_SECONDS
    part.look()
    assert part.trouble is not None
    assert (part.trouble.sentence, part.trouble.detail) == ("The movies service does not answer", detail)
    service.answer = WELL
    part.look()
    assert part.trouble is None
