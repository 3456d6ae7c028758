"""Reviews written through two gateways while something is killed, or stands still, every few seconds."""

from __future__ import annotations

import math
import queue
import random
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.chaos.client import Client, persist
from tests.chaos.faults import Faults
from tests.chaos.history import Write, longest_answer, outcomes
from tests.chaos.report import Check, Result, counted, judged
from tests.chaos.stage import Size, Stage
from tests.chaos.world import World

ANSWER_SECONDS = 6.0  # within which every request must be answered
AFTER_FAILURE_SECONDS = (0.2, 1.0)  # how long a client waits before it asks again
PATIENT_SECONDS = 120.0  # how long a client asks for one review
FREEZE_SECONDS = 2.0
PROGRESS_SECONDS = 5.0


@dataclass(frozen=True)
class Plan:
    reviews: int = 10_000
    writers: int = 16
    every: float = 3.0  # seconds from one fault to the next
    freeze_share: float = 0.2  # of the faults, SIGSTOP for FREEZE_SECONDS instead of SIGKILL
    size: Size = field(default_factory=lambda: Size(auths=2))


class Writers:
    """Threads that write what they are given, each review until it is acknowledged."""

    def __init__(self, world: World, writes: Iterable[Write], count: int, rng: random.Random) -> None:
        self._world = world
        self._todo: queue.SimpleQueue[Write] = queue.SimpleQueue()
        for write in writes:
            self._todo.put(write)
        seeds = [rng.random() for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._run, args=(number, random.Random(seed)), daemon=True)
            for number, seed in enumerate(seeds)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self, seconds: float) -> bool:
        """Whether all is written within `seconds`."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self, number: int, rng: random.Random) -> None:
        client = Client(self._world.history, self._world.stage.gateways, number)
        while True:
            try:
                write = self._todo.get_nowait()
            except queue.Empty:
                break
            self._world.history.add_write(write)
            persist(
                client, write, time.monotonic() + PATIENT_SECONDS, lambda: rng.uniform(*AFTER_FAILURE_SECONDS)
            )
        client.close()


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
                freeze = FREEZE_SECONDS if rng.random() < plan.freeze_share else 0
                faults.strike(faults.any_victim(), freeze)
                next_fault = max(next_fault + plan.every, time.monotonic())
            if time.monotonic() >= next_word:
                next_word += PROGRESS_SECONDS
                stage.say(f"{world.history.acknowledged()} of {plan.reviews} acknowledged; {faults.counts()}")
        seconds = time.monotonic() - began
        stage.say(f"written in {seconds:.0f} s; settling")
        return conclude(world, faults, Result("kills", command), seconds)


def conclude(world: World, faults: Faults, result: Result, seconds: float) -> Result:
    """The checks of everything written so far."""
    stage = world.stage
    stage.replace_the_ended()
    stage.wait_until_ready()
    verdict = world.judge()
    stage.replace_the_ended()
    attempts = world.history.attempts()
    apart = [attempt for attempt in attempts if faults.froze_door_of(attempt)]
    judged_by_time = [attempt for attempt in attempts if not faults.froze_door_of(attempt)]
    result.checks = [
        *judged(verdict),
        Check.at_most("longest time to an answer", ANSWER_SECONDS, longest_answer(judged_by_time), "s"),
        Check("processes that ended by themselves", "0", stage.ended(), not stage.ends),
    ]
    result.notes = [
        f"{len(faults.done)} faults in {seconds:.0f} s: {faults.counts()}. {counted(verdict)}",
        f"Attempts by outcome: {outcomes(attempts)}. Asked of a gateway that stood still itself, and left "
        f"out of the longest time: {len(apart)}.",
    ]
    return result
