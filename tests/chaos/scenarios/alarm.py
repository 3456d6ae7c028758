"""RabbitMQ takes itself to be out of memory, and blocks everyone who publishes."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.chaos.report import Result
from tests.chaos.scenarios.outages import Absence, observe_all
from tests.chaos.stage import Size, Stage


@dataclass(frozen=True)
class Plan:
    seconds: float
    threads: int

    @property
    def size(self) -> Size:
        return Size(gateways=1, movies=2, notifiers=1)


def run(stage: Stage, plan: Plan, seed: int, command: str) -> Result:
    rabbitmq = stage.rabbitmq
    alarm = Absence(
        "RabbitMQ", "memory alarm", plan.seconds, rabbitmq.raise_memory_alarm, rabbitmq.clear_memory_alarm
    )
    return observe_all(stage, [alarm], plan.threads, random.Random(seed), Result("alarm", command))
