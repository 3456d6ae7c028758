"""What is done to the platform, by a generator of random numbers, with a note of each deed."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass

from tests.chaos.history import Attempt, History
from tests.chaos.stage import Stage

RELAY = "the relay's holder"
ALL_NOTIFIERS = "all notifiers"
SERVER_WEIGHT = 0.5  # of each server among the victims, where a process of ours weighs 1
RELAY_WEIGHT = 1.5


@dataclass(frozen=True, slots=True)
class Fault:
    """What befell whom; `began` and `ended` in seconds of the history."""

    deed: str  # "SIGKILL" or "SIGSTOP"
    victim: str
    part: str  # the victim by its own name, where `victim` says what it was chosen for
    began: float
    ended: float


class Faults:
    """Does them one at a time, on the thread that calls."""

    def __init__(self, stage: Stage, history: History, rng: random.Random) -> None:
        self.done: list[Fault] = []
        self._stage = stage
        self._history = history
        self._rng = rng

    def strike(self, victim: str, freeze_seconds: float = 0.0) -> None:
        """Kill `victim` (a part, a server, RELAY) and start it again, or stop it for `freeze_seconds`.

        ALL_NOTIFIERS are only killed.
        """
        part = self._part(victim)
        began = self._history.now()
        if victim == ALL_NOTIFIERS:
            self._kill_all("notifications")
        elif freeze_seconds:
            self._freeze(part, freeze_seconds)
        elif server := self._stage.servers.get(part):
            server.kill()
            server.start()
        else:
            self._stage.kill(part)
        deed = "SIGSTOP" if freeze_seconds else "SIGKILL"
        self.done.append(Fault(deed, victim, part, began, self._history.now()))

    def _kill_all(self, role: str) -> None:
        """At once, so that for a moment there is none."""
        parts = [part for part in self._stage.deployment.parts if part.startswith(role)]
        for part in parts:
            self._stage.kill_for_good(part)
        for part in parts:
            self._stage.start(part)

    def any_victim(self) -> str:
        parts = self._stage.deployment.parts
        victims = [*parts, RELAY, *self._stage.servers]
        weights = [1.0] * len(parts) + [RELAY_WEIGHT] + [SERVER_WEIGHT] * len(self._stage.servers)
        return self._rng.choices(victims, weights)[0]

    def counts(self) -> str:
        """`"SIGKILL gateway: 5, SIGSTOP RabbitMQ: 1"`"""
        counts = Counter(f"{fault.deed} {fault.victim.partition('-')[0]}" for fault in self.done)
        return ", ".join(f"{what}: {counts[what]}" for what in sorted(counts)) or "none"

    def progress(self) -> str:
        if not self.done:
            return "no fault yet"
        return f"{len(self.done)} faults, the last one {self.done[-1].deed} of {self.done[-1].victim}"

    def froze_door_of(self, attempt: Attempt) -> bool:
        """Whether the gateway that was asked stood still itself meanwhile: no promise reaches that far."""
        return any(
            fault.deed == "SIGSTOP"
            and fault.part == f"gateway-{attempt.gateway}"
            and fault.began < attempt.ended
            and attempt.started < fault.ended
            for fault in self.done
        )

    def _part(self, victim: str) -> str:
        if victim != RELAY:
            return victim
        # While it is being taken over nobody holds it; then any movies service will do.
        others = [part for part in self._stage.deployment.parts if part.startswith("movies")]
        return self._stage.relay_holder() or self._rng.choice(others)

    def _freeze(self, part: str, seconds: float) -> None:
        self._stage.freeze(part)
        try:
            time.sleep(seconds)
        finally:
            self._stage.thaw(part)
