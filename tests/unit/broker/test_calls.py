from __future__ import annotations

import math
import time
from types import SimpleNamespace
from typing import Any

import pytest

from broker.calls import ANSWER_BY, Call


def received(**properties: Any) -> Call:
    return Call.received(SimpleNamespace(properties=properties))


@pytest.mark.parametrize("expiration", [None, "", "soon", "-5", "1.5", "٣"])
def test_a_call_that_names_no_time_is_never_overdue(expiration: str | None) -> None:
    call = received() if expiration is None else received(expiration=expiration)
    assert call.answer_by == math.inf
    assert not call.is_overdue


@pytest.mark.parametrize("expiration", ["60000", 60000])
def test_its_time_is_counted_from_its_arrival(expiration: object) -> None:
    call = received(expiration=expiration)
    assert call.answer_by == pytest.approx(time.monotonic() + 60, abs=1)
    assert not call.is_overdue


def test_one_whose_time_is_over_is_overdue() -> None:
    assert received(expiration="0").is_overdue


def test_in_one_process_it_is_counted_from_its_making() -> None:
    assert received(expiration="60000", **{ANSWER_BY: time.monotonic() - 1}).is_overdue
