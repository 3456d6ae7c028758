"""Reviews written through two gateways while something is killed, or stands still, every few seconds."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass

from tests.chaos.faults import Faults
from tests.chaos.history import longest_answer, outcomes
from tests.chaos.load import Writers
from tests.chaos.report import ANSWER_SECONDS, Check, Result, counted, judged
from tests.chaos.stage import Size, Stage
from tests.chaos.world import World

FREEZE_SECONDS = (1.0, 8.0)  # shorter and longer than what others take for death
PROGRESS_SECONDS = 5.0


@dataclass(frozen=True)
class Plan:
    reviews: int
    writers: int
    every: float  # seconds from one fault to the next
    freezes: float  # share of the faults that are SIGSTOP instead of SIGKILL
    auths: int

    @property
    def size(self) -> Size:
        return Size(auths=self.auths)


def run(stage: Stage, plan: Plan, seed: int, command: str) -> Result:
    rng = random.Random(seed)
    side = math.ceil(math.sqrt(plan.reviews))
    stage.say(f"signing up {side} users")
    with World.open(stage, users=side, movies=math.ceil(plan.reviews / side)) as world:
        faults = Faults(stage, world.history, rng)
        writers = Writers(world, world.pairs(rng)[: plan.reviews], plan.writers, rng)
        began = time.monotonic()
        writers.start()
        next_fault, next_word = began + plan.every, began + PROGRESS_SECONDS
        while not writers.join(0.1):
            stage.replace_the_ended()
            if time.monotonic() >= next_fault:
                freeze = rng.uniform(*FREEZE_SECONDS) if rng.random() < plan.freezes else 0
                faults.strike(faults.any_victim(), freeze)
                next_fault = max(next_fault + plan.every, time.monotonic())
            if time.monotonic() >= next_word:
                next_word += PROGRESS_SECONDS
                stage.say(
                    f"{world.history.acknowledged()} of {plan.reviews} acknowledged; {faults.progress()}"
                )
        result = Result("kills", command)
        return conclude(world, faults, result, time.monotonic() - began)


def conclude(world: World, faults: Faults, result: Result, seconds: float) -> Result:
    """The checks of everything written so far, which took `seconds`."""
    stage = world.stage
    stage.say(f"{world.history.acknowledged()} acknowledged in {seconds:.0f} s; settling")
    stage.replace_the_ended()
    stage.wait_until_ready()
    verdict = world.judge()
    stage.replace_the_ended()
    attempts = world.history.attempts()
    timed = [attempt for attempt in attempts if not faults.froze_door_of(attempt)]
    result.checks = [
        *judged(verdict),
        Check.at_most("longest time to an answer", ANSWER_SECONDS, longest_answer(timed), "s"),
        Check.survived(stage),
    ]
    result.notes = [
        f"{len(faults.done)} faults in {seconds:.0f} s: {faults.counts()}. {counted(verdict)}",
        f"Attempts by outcome: {outcomes(attempts)}. Of these {len(attempts) - len(timed)} asked a gateway "
        "that stood still itself; they are left out of the longest time.",
    ]
    return result
