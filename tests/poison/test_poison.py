"""One message cannot take a service away, whatever it holds and wherever it comes in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.platforms import FullDeployment, running
from tests.poison.world import Target, World, a_listener_hears_a_review, targets
from tests.servers import PrivateServers

EVERY = 1


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two movies services and two notifiers on servers of their own."""
    with PrivateServers() as servers:
        deployment = FullDeployment(servers.urls, tmp_path_factory.mktemp("poison"), movies=2, notifiers=2)
        with running(deployment):
            world = World(deployment)
            yield world
            world.close()


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_nothing_that_is_published_there_needs_a_hand(world: World, target: Target) -> None:
    outcome = world.poison(target, EVERY)
    print(outcome)
    if target.letters is not None:
        letters = world.listed(target.letters)
        shown = [letter for letter in letters if letter["properties"] is not None]
        assert len(shown) == len(outcome.unreadable)
        world.empty(f"dead-letters.{target.letters}")
    assert a_listener_hears_a_review(world)
