"""What a kind of greed did to ordinary people, and the row that says so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.bench.figures import percentile

PHASES = ("before", "during", "after")
ACTIVITIES = ("reads", "sign-ins", "new connections", "joins", "messages")
COLUMNS = ["greed", *ACTIVITIES, "wronged", "memory", "log", "the greedy one was answered", "held"]
MOST_TIMES = 2
MOST_MILLISECONDS = 500.0
MOST_MIB = 50.0
SHOWN = 3


@dataclass
class Outcome:
    """`times` by phase and activity, as the people tell them; growth and log: while it lasted, and after."""

    what: str
    times: dict[str, dict[str, dict[str, Any]]]
    growth_mib: float
    log_bytes: int
    flooded: int  # messages of the greedy one that came into the others' room
    answers: dict[str, int]
    troubles: list[str]

    @property
    def wrongs(self) -> list[str]:
        """What ordinary people got that they should not have, in any phase."""
        return [
            f"{phase}, {wrong}"
            for phase in PHASES
            for times in self.times.get(phase, {}).values()
            for wrong in times["wrongs"]
        ]

    @property
    def slow(self) -> list[str]:
        """The activities whose 99th percentile grew by more than it may."""
        return [activity for activity in self._activities() if not self._is_quick(activity)]

    @property
    def holds(self) -> bool:
        return not (self.wrongs or self.slow or self.troubles) and self.growth_mib <= MOST_MIB

    def row(self) -> list[str]:
        asked = sum(len(times["milliseconds"]) for phase in self.times.values() for times in phase.values())
        answers = ", ".join(f"{what}: {count:,}" for what, count in sorted(self.answers.items()))
        return [
            self.what,
            *(self._cell(activity) for activity in ACTIVITIES),
            f"{len(self.wrongs)} of {asked}",
            f"{self.growth_mib:+.0f} MiB",
            f"{self.log_bytes / 1024:,.0f} KiB",
            answers or "nothing",
            "held" if self.holds else "**not held**",
        ]

    def notes(self) -> list[str]:
        """Why it does not hold, for people."""
        found = [f"slow: {', '.join(self.slow)}"] if self.slow else []
        extra = [activity for activity in self._activities() if activity not in ACTIVITIES]
        found += [f"{activity}: {self._cell(activity)}" for activity in extra]
        found += [f"its messages in the others' room: {self.flooded:,}"] if self.flooded else []
        kinds = Counter(wrong.partition(",")[0] + "," + _short(wrong) for wrong in self.wrongs)
        found += [f"{count} times {wrong}" for wrong, count in kinds.most_common(SHOWN)]
        return found + self.troubles

    def _activities(self) -> list[str]:
        return list(dict.fromkeys(activity for phase in self.times.values() for activity in phase))

    def _milliseconds(self, phase: str, activity: str) -> list[float]:
        found: list[float] = self.times.get(phase, {}).get(activity, {}).get("milliseconds", [])
        return found

    def _is_quick(self, activity: str) -> bool:
        during, before = (self._milliseconds(phase, activity) for phase in ("during", "before"))
        if not during:
            return True
        most = max(MOST_MILLISECONDS, MOST_TIMES * percentile(before, 99) if before else 0)
        return percentile(during, 99) <= most

    def _cell(self, activity: str) -> str:
        return " → ".join(_spread(self._milliseconds(phase, activity)) for phase in PHASES)


def _short(wrong: str) -> str:
    """Without what differs each time."""
    return wrong.partition(",")[2].split('"request_id"')[0][:100]


def _spread(milliseconds: list[float]) -> str:
    if not milliseconds:
        return "–"
    return f"{percentile(milliseconds, 50):,.0f}/{percentile(milliseconds, 99):,.0f}"
