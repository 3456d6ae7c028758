"""A trouble is said once, again while it lasts, and when it is over."""

from __future__ import annotations

import logging

import pytest

from broker import readiness
from broker.readiness import SAY_AGAIN_SECONDS, Trouble, TroubleLog, troubles

_log = logging.getLogger("tests.readiness")


def test_it_is_said_once_again_while_it_lasts_and_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [100.0]
    monkeypatch.setattr(readiness.time, "monotonic", lambda: now[0])
    caplog.set_level(logging.INFO)
    said = TroubleLog(_log, "auth")
    said.tell(None)
    for _ in range(100):
        said.tell(Trouble("It is full", "of bytes"))
    now[0] += SAY_AGAIN_SECONDS
    said.tell(Trouble("It is full", "of more bytes"))
    said.tell(Trouble("It is away"))
    said.tell(None)
    said.tell(None)
    assert caplog.messages == [
        "auth is not ready: It is full (of bytes)",
        "auth is not ready, for 60 s now: It is full (of more bytes)",
        "auth is not ready: It is away",
        "auth is ready again, after 60.0 s",
    ]


def test_checks_are_asked_in_their_order() -> None:
    detailed = Trouble("third", "with a detail")
    assert list(troubles([lambda: None, lambda: "second", lambda: detailed])) == [Trouble("second"), detailed]
