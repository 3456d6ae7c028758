"""A movies service is killed while it works on writes, over and over."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.chaos.client import Client
from tests.chaos.faults import Faults
from tests.chaos.history import History
from tests.chaos.load import keep_asking
from tests.chaos.report import Result
from tests.chaos.scenarios.kills import conclude
from tests.chaos.stage import Size, Stage
from tests.chaos.world import World

USERS = 20
INSTANCES = 3
SHORTEST_SECONDS = 0.015  # that a review is taken to need


@dataclass(frozen=True)
class Plan:
    kills: int
    at_once: int = 6  # writes in flight at each kill

    @property
    def size(self) -> Size:
        return Size(movies=INSTANCES, notifiers=1)


def run(stage: Stage, plan: Plan, seed: int, command: str) -> Result:
    rng = random.Random(seed)
    users = min(USERS, plan.kills * plan.at_once)
    with World.open(stage, users=users, movies=math.ceil(plan.kills * plan.at_once / users)) as world:
        began = time.monotonic()
        faults = Faults(stage, world.history, rng)
        in_flight = strike(world, plan, faults, rng)
        result = conclude(world, faults, Result("midcall", command), time.monotonic() - began)
        result.notes.append(f"Writes that had no answer yet at the moments of the kills: {in_flight}.")
        return result


def strike(
    world: World, plan: Plan, faults: Faults, rng: random.Random, movies: Sequence[int] | None = None
) -> int:
    """Kill one movies service after the other in mid-call; returns once all is acknowledged.

    The reviews are of `movies`, or of all. Answers how many were in flight at the kills.
    """
    in_flight = 0
    stage = world.stage
    pool_of_movies = [part for part in stage.deployment.parts if part.startswith("movies")]
    writes = world.pairs(rng, movies)
    clients = [Client(world.history, stage.gateways, number) for number in range(plan.at_once)]
    with ThreadPoolExecutor(plan.at_once) as threads:
        for number in range(plan.kills):
            # In turn, and the last one killed may still be starting: the victim takes calls.
            stage.wait_for_instances("movies", len(pool_of_movies) - 1)
            mine = writes[number * plan.at_once : (number + 1) * plan.at_once]
            for write in mine:
                world.history.add_write(write)
            asking = [
                threads.submit(keep_asking, client, write, random.Random(rng.random()))
                for client, write in zip(clients, mine, strict=True)
            ]
            time.sleep(rng.uniform(0, usual_seconds(world.history)))
            in_flight += sum(not each.done() for each in asking)
            faults.strike(pool_of_movies[number % len(pool_of_movies)])
            for each in asking:
                each.result()
            stage.replace_the_ended()
            if (number + 1) % 10 == 0:
                stage.say(f"{number + 1} of {plan.kills} kills, {world.history.acknowledged()} acknowledged")
    for client in clients:
        client.close()
    return in_flight


def usual_seconds(history: History) -> float:
    """How long a review takes on this machine: a kill at any moment of it is one in mid-call."""
    last = [attempt.seconds for attempt in history.attempts() if attempt.succeeded][-50:]
    return max(SHORTEST_SECONDS, statistics.median(last)) if last else SHORTEST_SECONDS
