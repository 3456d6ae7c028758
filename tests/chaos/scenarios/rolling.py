"""Every process is replaced by SIGTERM, one after the other, under load: no client may see it."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from tests.chaos.history import REFUSED, Attempt, longest_answer, outcomes
from tests.chaos.load import MixedLoad
from tests.chaos.report import ANSWER_SECONDS, Check, Result, Table, counted, judged
from tests.chaos.scenarios.outages import wait
from tests.chaos.stage import EXIT_SECONDS, Size, Stage
from tests.chaos.world import World

USERS = 16
PAUSE_SECONDS = 1.0  # between two restarts
REVIEWS = 6000  # more than are written in the time it takes


@dataclass(frozen=True)
class Plan:
    clients: int
    rounds: int  # how often every process is replaced

    @property
    def size(self) -> Size:
        return Size(auths=2)


def run(stage: Stage, plan: Plan, seed: int, command: str) -> Result:
    rng = random.Random(seed)
    result = Result("rolling", command)
    rows = []
    with World.open(stage, users=USERS, movies=REVIEWS // USERS) as world:
        load = MixedLoad(world, world.pairs(rng), rng, plan.clients)
        load.start()
        try:
            for _ in range(plan.rounds):
                for part in stage.deployment.parts:
                    wait(stage, PAUSE_SECONDS)
                    rows.append(restart(world, part, result))
            wait(stage, PAUSE_SECONDS)
        finally:
            load.stop()
        stage.say("settling")
        verdict = world.judge()
        attempts = world.history.attempts()
    wrong = [each for each in attempts if is_error(each)]
    result.table = Table(
        ("part", "exit code", "SIGTERM to exit", "errors of clients meanwhile", "the new one is ready after"),
        rows,
    )
    result.checks = [
        Check("errors that a client saw", "0", f"{len(wrong)} ({outcomes(wrong)})", not wrong),
        Check.at_most("longest time to an answer", ANSWER_SECONDS, longest_answer(attempts), "s"),
        *judged(verdict),
        Check.survived(stage),
    ]
    result.notes = [f"Requests by outcome: {outcomes(attempts)}. {counted(verdict)}"]
    return result


def is_error(attempt: Attempt) -> bool:
    """Whether a client saw the restart. A closed door is none, as long as another one is open."""
    return not attempt.succeeded and attempt.outcome != REFUSED


def restart(world: World, part: str, result: Result) -> list[str]:
    """Replace one process: its row, and its checks into `result`.

    A front door has a port of its own, so the new process comes after the old one; of auth and movies, which
    have none, the new one comes first.
    """
    stage, history = world.stage, world.history
    stage.say(f"restarting {part}")
    began = history.now()
    role = part.partition("-")[0]
    if role in ("gateway", "notifications"):
        code, seconds = stage.terminate(part)
        started = time.monotonic()
        stage.start(part)
        stage.wait_for_door(part)
        ready = time.monotonic() - started
    else:
        old = stage.process(part)
        before = stage.instances(role)
        started = time.monotonic()
        stage.start_beside(part)
        stage.wait_for_instances(role, before + 1)
        ready = time.monotonic() - started
        code, seconds = stage.terminate_process(old)
    errors = [each for each in history.attempts(began) if is_error(each)]
    result.details += [
        Check.at_most(f"{part}: exit after SIGTERM", EXIT_SECONDS, seconds, "s"),
        Check(f"{part}: exit code", "0", "killed" if code is None else str(code), code == 0),
    ]
    shown = "killed" if code is None else str(code)
    return [part, shown, f"{seconds:.1f} s", outcomes(errors), f"{ready:.1f} s"]
