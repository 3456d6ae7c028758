"""What a scenario found, as Markdown tables."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.checker import Verdict
from tests.chaos.history import Attempt
from tests.chaos.stage import Stage
from tests.processes import ROOT

ANSWER_SECONDS = 6.0  # within which every request must be answered
RETURN_SECONDS = 35.0  # within which 99 % of requests must succeed again, after what was away is back
PLAIN = ("200", "201", "503", "504")  # what a client may be told while a part of the platform is away
SHOWN = 3  # examples of what was found, beside the count


@dataclass(frozen=True)
class Check:
    """What was promised and what was measured."""

    what: str
    promised: str
    measured: str
    holds: bool

    @classmethod
    def none(cls, what: str, found: Sequence[object]) -> Check:
        """There must be none of it."""
        shown = ", ".join(str(each) for each in found[:SHOWN])
        return cls(what, "0", f"{len(found)} ({shown})" if found else "0", not found)

    @classmethod
    def at_most(cls, what: str, most: float, measured: float | None, unit: str, digits: int = 1) -> Check:
        """None stands for what never came."""
        shown = "never" if measured is None else f"{measured:.{digits}f} {unit}"
        return cls(what, f"≤ {most:g} {unit}", shown, measured is not None and measured <= most)

    @classmethod
    def survived(cls, stage: Stage) -> Check:
        return cls("processes that ended by themselves", "0", stage.ended(), not stage.ends)

    @property
    def row(self) -> list[str]:
        return [self.what, self.promised, self.measured, "yes" if self.holds else "**no**"]


@dataclass(frozen=True)
class Table:
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


@dataclass
class Result:
    """What a scenario hands back: a table of its own, the checks, and what there is to say besides."""

    scenario: str
    command: str
    checks: list[Check] = field(default_factory=list)
    table: Table | None = None
    details: list[Check] = field(default_factory=list)  # of the table's rows: listed only where they failed
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[Check]:
        return [check for check in (*self.details, *self.checks) if not check.holds]

    def markdown(self) -> str:
        blocks = [_measured(self.command)]
        if self.table:
            blocks.append(self.table.markdown())
        listed = [*(check for check in self.details if not check.holds), *self.checks]
        if listed:
            rows = [check.row for check in listed]
            blocks.append(Table(["what", "promised", "measured", "held"], rows).markdown())
        blocks += self.notes
        return "\n\n".join(blocks)


def is_plain(attempt: Attempt) -> bool:
    return attempt.outcome in PLAIN


def judged(verdict: Verdict) -> list[Check]:
    """The checker's findings."""
    return [
        Check.none("writes never acknowledged", verdict.unacknowledged),
        Check.none("— of these, told 4xx although nobody else asked for the same", verdict.contradicted),
        Check.none("reviews acknowledged and missing", verdict.reviews.lost),
        Check.none("reviews acknowledged and not listed over REST", verdict.unserved),
        Check.none("reviews written twice", verdict.reviews.duplicated),
        Check.none("reviews nobody asked for", verdict.reviews.unexpected),
        Check.none("events lost", verdict.events.lost),
        Check.none("events announced twice (two ids)", verdict.events.duplicated),
        Check.none("events of reviews that are not there", verdict.events.unexpected),
        Check.none("events out of order within a movie", verdict.disordered),
        Check.none("events heard twice by a listener in a room", verdict.heard_twice),
        Check.none(
            "wrong `review_count` or `average_rating`, asked at every gateway", verdict.wrong_aggregates
        ),
    ]


def counted(verdict: Verdict) -> str:
    """What is allowed, and worth knowing."""
    return (
        f"{verdict.acknowledged} reviews acknowledged; {len(verdict.reviews.recovered)} there although the "
        f"first attempt was not (recovered); {verdict.redelivered} events delivered again, with the same id; "
        f"{verdict.missed} times a listener missed one."
    )


def put_into(page: Path, result: Result) -> None:
    """Replace what stands between the scenario's markers in `page`. ValueError where they are not there."""
    begin, end = (f"<!-- {result.scenario}: {word} -->" for word in ("measured", "end"))
    text = page.read_text(encoding="utf-8")
    found = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    if not found.search(text):
        raise ValueError(f"{page} has no {begin} … {end}")
    block = f"{begin}\n{result.markdown()}\n{end}"
    page.write_text(found.sub(lambda _: block, text), encoding="utf-8")


def _measured(command: str) -> str:
    described = subprocess.run(
        # The page itself may have changed: the scenarios before this one have written to it.
        ["git", "log", "-1", "--format=%h", "--", ".", ":!docs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    commit = described.stdout.strip() or "unknown"
    return f"`{command}`, {datetime.now(UTC):%Y-%m-%d}, commit {commit}, {os.cpu_count()} cores:"
