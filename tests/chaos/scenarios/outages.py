"""RabbitMQ, PostgreSQL or Redis goes away under load and comes back, with no hand on the platform."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.chaos.client import Client
from tests.chaos.history import Write, longest_answer, outcomes, seconds_until_served
from tests.chaos.load import MixedLoad, keep_asking
from tests.chaos.report import (
    ANSWER_SECONDS,
    RETURN_SECONDS,
    Check,
    Result,
    Table,
    counted,
    is_plain,
    judged,
)
from tests.chaos.stage import Size, Stage
from tests.chaos.world import World

USERS = 16
BEFORE_SECONDS = 3.0  # of load before anything happens
GOOD_SECONDS = 8.0  # of nothing but success, until the platform is taken to be well
OBSERVED_SECONDS = 60.0  # how long that is waited for
HEARD_SECONDS = 15.0  # within which rooms hear a review once all is well
REVIEWS_PER_SECOND = 30  # which no load of ours exceeds
COLUMNS = (
    "what is away",
    "how",
    "for",
    "answers from then until all is well",
    "longest",
    "99 % succeed after",
    "processes ended",
    "rooms hear again",
)


@dataclass(frozen=True)
class Plan:
    servers: Sequence[str]
    deeds: Sequence[str]  # "SIGKILL", "SIGSTOP"
    seconds: Sequence[float]
    threads: int

    @property
    def size(self) -> Size:
        return Size(gateways=1, movies=2, notifiers=1)


@dataclass(frozen=True)
class Absence:
    """What goes away, how, and for how long."""

    what: str
    deed: str
    seconds: float
    leave: Callable[[], None]
    come_back: Callable[[], None]
    harmless: bool = False  # nothing but success is promised

    @property
    def name(self) -> str:
        return f"{self.what}, {self.deed}, {self.seconds:g} s"


def run(stage: Stage, plan: Plan, seed: int, command: str) -> Result:
    absences = [
        absence(stage, server, deed, seconds)
        for seconds in plan.seconds
        for server in plan.servers
        for deed in plan.deeds
    ]
    return observe_all(stage, absences, plan.threads, random.Random(seed), Result("outages", command))


def absence(stage: Stage, name: str, deed: str, seconds: float) -> Absence:
    server = stage.servers[name]
    leave, come_back = (server.freeze, server.thaw) if deed == "SIGSTOP" else (server.kill, server.start)
    return Absence(name, deed, seconds, leave, come_back, harmless=server is stage.redis)


def observe_all(
    stage: Stage, absences: Sequence[Absence], threads: int, rng: random.Random, result: Result
) -> Result:
    """One after the other under load, and the checker's word at the end."""
    rows = []
    with World.open(stage, users=USERS, movies=1) as world:
        for each in absences:
            stage.say(each.name)
            rows.append(observe(world, each, threads, rng, result))
            stage.wait_until_ready()
        stage.say("settling")
        verdict = world.judge()
    result.table = Table(COLUMNS, rows)
    result.checks += judged(verdict)
    result.checks.append(Check.survived(stage))
    result.notes = [counted(verdict)]
    return result


def observe(world: World, absence: Absence, threads: int, rng: random.Random, result: Result) -> list[str]:
    """One absence under load: its row, and its checks into `result`."""
    stage, history = world.stage, world.history
    ends = len(stage.ends)
    reviews = REVIEWS_PER_SECOND * (BEFORE_SECONDS + absence.seconds + OBSERVED_SECONDS / 2)
    movies = world.add_movies(int(reviews / USERS) + 2)
    writes = world.pairs(rng, movies[1:])
    load = MixedLoad(world, writes, rng, threads)
    load.start()
    try:
        wait(stage, BEFORE_SECONDS)
        left = history.now()
        absence.leave()
        try:
            wait(stage, absence.seconds)
        finally:
            absence.come_back()
        returned = history.now()
        served = wait_until_well(world, returned)
        over = history.now()
    finally:
        load.stop()
    heard = seconds_until_heard(world, movies[0], rng)
    during = [attempt for attempt in history.attempts(left) if attempt.started < over]
    longest = longest_answer(during)
    allowed = (lambda each: each.succeeded) if absence.harmless else is_plain
    odd = [f"{each.kind}: {each.outcome}" for each in during if not allowed(each)]
    expected = "success" if absence.harmless else "200, 201, 503, 504"
    died = len(stage.ends) - ends
    result.details += [
        Check.none(f"{absence.name}: answers other than {expected}", odd),
        Check.at_most(f"{absence.name}: longest answer", ANSWER_SECONDS, longest, "s"),
        Check.at_most(f"{absence.name}: 99 % succeed after", RETURN_SECONDS, served, "s"),
        Check.at_most(f"{absence.name}: rooms hear a review", HEARD_SECONDS, heard, "s"),
    ]
    return [
        absence.what,
        absence.deed,
        f"{absence.seconds:g} s",
        outcomes(during),
        f"{longest:.1f} s",
        "never" if served is None else f"{served:.0f} s",
        str(died),
        "no" if heard is None else "yes",
    ]


def wait(stage: Stage, seconds: float) -> None:
    """Let time pass; what ends by itself is started again, as an orchestrator would."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        stage.replace_the_ended()
        time.sleep(min(left, 0.1))


def wait_until_well(world: World, since: float) -> float | None:
    """Seconds from `since` until 99 % of requests succeed, once that has lasted GOOD_SECONDS; None: never."""
    history = world.history
    while history.now() < since + OBSERVED_SECONDS + GOOD_SECONDS:
        wait(world.stage, 0.5)
        served = seconds_until_served(history.attempts(since), since)
        if served is not None and history.now() - since - served >= GOOD_SECONDS:
            break
    return seconds_until_served(history.attempts(since), since)


def seconds_until_heard(world: World, movie: int, rng: random.Random) -> float | None:
    """How long until every listener in `all` hears a review written now; None where that takes too long.

    Each try is another user's review of `movie`, which nobody has reviewed before: a listener may be on its
    way back when the first is announced.
    """
    listeners = [each for name, each in world.listeners.items() if world.rooms[name] is None]
    began = time.monotonic()
    client = Client(world.history, world.stage.gateways)
    try:
        for user in world.users:
            write = Write(user.id, movie, 7.0, user.token)
            world.history.add_write(write)
            keep_asking(client, write, rng)
            until = time.monotonic() + 1.0
            while time.monotonic() < until:
                if write.told and all(write.told[-1] in listener.reviews for listener in listeners):
                    return time.monotonic() - began
                time.sleep(0.02)
            if time.monotonic() - began > HEARD_SECONDS:
                break
    finally:
        client.close()
    return None
