"""The short form of the chaos suite: one of everything killed, a service in mid-call, what it
has at the broker deleted; rooms miss nothing.
"""

from __future__ import annotations

import random
import time

import pytest

from tests.chaos.deletions import OWN_QUEUES, TAKEN_OVER, deletions
from tests.chaos.faults import RELAY, Faults
from tests.chaos.load import Writers
from tests.chaos.report import Result
from tests.chaos.scenarios import kills, midcall, rooms, topology
from tests.chaos.stage import Stage
from tests.chaos.world import World
from tests.processes import wait_until

SEED = 1
VICTIMS = ("movies-0", "gateway-1", "notifications-0", RELAY, "auth-0", "RabbitMQ")
REVIEWS_BETWEEN = 30  # from one kill to the next
USERS, MOVIES, MOVIES_IN_MIDCALL = 9, 23, 2
MIDCALL = midcall.Plan(kills=3)
LIMIT_SECONDS = 90
IN_ROOMS = rooms.Plan(reviews=100, listeners=20, javascript=4, writers=4, every=0)
DELETIONS = [
    ("exchange nameko-rpc", "deleted"),
    ("exchange movies.events", TAKEN_OVER),
    ("queue notifications.reviews", "deleted"),
    (f"binding of {OWN_QUEUES[0]}… to auth.events by session_revoked", "deleted"),
]
KILLS_AT = [(20, "notifications-0"), (60, "RabbitMQ")]  # by how many reviews have been acknowledged


@pytest.mark.timeout(300)
def test_nothing_acknowledged_is_lost_or_doubled_whatever_is_killed(stage: Stage) -> None:
    rng = random.Random(SEED)
    with World.open(stage, users=USERS, movies=MOVIES + MOVIES_IN_MIDCALL) as world:
        began, history, faults = time.monotonic(), world.history, Faults(stage, world.history, rng)
        writers = Writers(world, world.pairs(rng, world.movies[:MOVIES]), 8, rng)
        writers.start()
        for number, victim in enumerate(VICTIMS):
            enough = REVIEWS_BETWEEN * (number + 1)
            wait_until(lambda: history.acknowledged() >= enough, LIMIT_SECONDS, f"{enough} reviews")  # noqa: B023
            faults.strike(victim)
        assert writers.join(LIMIT_SECONDS)
        midcall.strike(world, MIDCALL, faults, rng, world.movies[MOVIES:])
        result = kills.conclude(world, faults, Result("kills", "short"), time.monotonic() - began)
    assert [check.row for check in result.failed] == []


@pytest.mark.timeout(300)
def test_no_listener_misses_an_event_whatever_is_killed(stage: Stage) -> None:
    to_be_killed = KILLS_AT.copy()

    def strike(faults: Faults, acknowledged: int) -> None:
        if to_be_killed and acknowledged >= to_be_killed[0][0]:
            faults.strike(to_be_killed.pop(0)[1])

    result = rooms.observe(stage, IN_ROOMS, random.Random(SEED), Result("rooms", "short"), strike)
    assert to_be_killed == []
    assert [check.row for check in result.failed] == []


@pytest.mark.timeout(300)
def test_what_is_deleted_at_the_broker_is_there_again_by_itself(stage: Stage) -> None:
    every = {(each.what, each.how): each for each in deletions(stage.rabbitmq)}
    chosen = [every[each] for each in DELETIONS]
    result = topology.observe_all(stage, chosen, 4, random.Random(SEED), Result("topology", "short"))
    assert [check.row for check in result.failed] == []
