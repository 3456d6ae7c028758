"""Histories, and what is of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker import history
from broker.errors import ServiceUnavailable
from broker.history import History
from broker.history_watch import Watch
from broker.new_history import GAP_A_SECOND, LEAST_GAP, MOST, gap

FIRST, SECOND = "a" * 32, "b" * 32
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
NOW_IN = History(2, SECOND, BEGAN, FIRST, (FIRST,))


@pytest.mark.parametrize(
    ("named", "seconds", "is_of_it"),
    [(SECOND, -99, True), (FIRST, 99, False), ("", 99, False), (None, -1, False), (None, 1, True)],
)
def test_what_names_a_history_is_of_that_one(named: str | None, seconds: int, is_of_it: bool) -> None:
    assert NOW_IN.includes(named, BEGAN + timedelta(seconds=seconds)) is is_of_it


def test_what_names_none_is_of_the_first_whenever_it_was() -> None:
    assert History(1, FIRST, BEGAN).includes(None, datetime(1999, 1, 1, tzinfo=UTC))


def test_an_event_names_its_history_among_its_data() -> None:
    assert history.of_event({"version": 1, "history": FIRST}) == FIRST
    assert history.of_event({"version": 1}) is None


def test_what_one_service_says_another_hears() -> None:
    heard = history.heard(history.said(NOW_IN))
    assert heard == History(2, SECOND, BEGAN, None, (FIRST,))
    assert history.heard(None) is None


@pytest.mark.parametrize(
    "changes", [{"id": "x"}, {"number": 0}, {"number": 2**63}, {"began_at": -1}, {"before": ["x"]}]
)
def test_what_is_no_history_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        history.heard({**history.said(NOW_IN), **changes})


def test_a_gap_grows_with_the_time_and_leaves_room() -> None:
    assert gap(0) == LEAST_GAP
    assert gap(3600) == LEAST_GAP + 3600 * GAP_A_SECOND
    assert gap(10**12, MOST - 100) == 50
    assert gap(0, MOST) == 0


def test_a_service_in_trouble_says_so_and_writes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch("auth")
    well = {"status": "OK", "database": "Connected"}
    watch.note("place", None)
    watch.check()
    assert watch.status(well) == well
    for _ in range(3):
        watch.note("beside", "put it right")
    with pytest.raises(ServiceUnavailable):
        watch.check()
    assert watch.status(well) == {"status": "ERROR", "database": "Connected", "error": "put it right"}
    away = {"status": "ERROR", "database": "Not connected", "error": "away"}
    assert watch.status(away) == away
    assert [record.message for record in caplog.records] == ["put it right"]
    watch.note("beside", None)
    watch.check()
