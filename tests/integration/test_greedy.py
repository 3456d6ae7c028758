"""One greedy client of some kinds, beside ordinary people: `python -m tests.bench.greedy` in its short form.

How long people wait is for the bench to say, on a machine of its own; here nobody is refused or cut off, and
the platform's memory stays within its bound.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench.greedy.__main__ import beside
from tests.bench.greedy.doors import Doors, doors
from tests.bench.greedy.kinds import KINDS
from tests.bench.greedy.outcome import MOST_MIB
from tests.bench.greedy.preparation import Scene, add_long_films, scene

SECONDS = 2.0  # of each of the three phases


@pytest.fixture(scope="module")
def running() -> Iterator[Doors]:
    with doors(None, None) as started:
        yield started


@pytest.fixture(scope="module")
def found(running: Doors) -> Scene:
    return scene(running.gateway, running.notifier, add_long_films)


@pytest.mark.parametrize("kind", ["pages", "logins", "messages"])
def test_a_greedy_client_has_nobody_refused_and_takes_no_memory(
    running: Doors, found: Scene, kind: str
) -> None:
    outcome = beside(KINDS[kind], running, found, SECONDS)
    print(" | ".join(outcome.row()))
    assert outcome.answers, "the greedy client was there"
    assert not outcome.wrongs
    assert not outcome.troubles
    assert outcome.growth_mib <= MOST_MIB
