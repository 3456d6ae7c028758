"""Listeners in their rooms while notifiers, RabbitMQ and Redis are killed: nobody may miss a review."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.checker import check
from tests.chaos.client import Client
from tests.chaos.faults import ALL_NOTIFIERS, Faults
from tests.chaos.history import Write, outcomes
from tests.chaos.listeners import Listener, Listeners
from tests.chaos.load import Revisers, keep_asking
from tests.chaos.observers import wait_until_quiet
from tests.chaos.report import Check, Result, judged
from tests.chaos.resumption import Findings, Truth, judge, outstanding
from tests.chaos.stage import Size, Stage
from tests.chaos.world import World

GENRES = ("Drama", "Comedy", "Crime, Drama", "Western", "Comedy, Western")
MOVIES = 40
FREEZE_SECONDS = (1.0, 8.0)
FREEZES = 0.2  # share of the faults of those that may stand still
IMPATIENCE = 0.05  # chance, each time that it is asked, that a fault does not wait until all is well
PROGRESS_SECONDS = 5.0
RESTLESS_SECONDS = 0.2  # from one deed to a listener to the next
SWITCHES = 0.25  # share of these deeds that are a change to another notifier
# Without any news, until what is outstanding counts as missing: a client whose connection died without a sign
# notices it when no ping has come for 45 s.
PATIENCE_SECONDS = 55.0
ARRIVAL_SECONDS = 120.0
# Each kind of room, and how many of a hundred listeners are in one.
IN_ALL, IN_GENRE, IN_REVIEWERS, IN_A_SECOND = 12, 12, 30, 40


@dataclass(frozen=True)
class Plan:
    reviews: int
    listeners: int
    javascript: int  # of them with the JavaScript client
    writers: int
    every: float  # seconds from one fault to the next

    @property
    def size(self) -> Size:
        return Size()


def run(stage: Stage, plan: Plan, seed: int, command: str) -> Result:
    rng = random.Random(seed)
    next_fault = time.monotonic() + plan.every

    def strike(faults: Faults, acknowledged: int) -> None:
        nonlocal next_fault
        # Mostly all is well before the next fault, or listeners would hear of nothing but by replay.
        if time.monotonic() >= next_fault and (stage.is_ready() or rng.random() < IMPATIENCE):
            faults.strike(*any_fault(stage, rng))
            next_fault = time.monotonic() + plan.every

    return observe(stage, plan, rng, Result("rooms", command), strike)


def observe(
    stage: Stage, plan: Plan, rng: random.Random, result: Result, strike: Callable[[Faults, int], None]
) -> Result:
    """The plan's reviews, with whatever `strike(faults, reviews acknowledged)` does all the while."""
    movies = min(MOVIES, math.ceil(math.sqrt(plan.reviews)))
    users = math.ceil((plan.reviews + 1) / movies)
    stage.say(f"signing up {users} users")
    with World.open(stage, users=users, movies=movies, movie_rooms=0, genres=GENRES) as world:
        first, *writes = world.pairs(rng)[: plan.reviews + 1]
        announce_one(world, first, rng)  # there is something to have a position in
        faults = Faults(stage, world.history, rng)
        writers = Revisers(world, writes, plan.writers, rng)
        with Listeners(
            stage.deployment.notifiers, crowd(world, plan, rng), stage.deployment.folder
        ) as listeners:
            listeners.wait_until_inside()
            began = time.monotonic()
            restless = Restless(listeners, random.Random(rng.random()))
            writers.start()
            restless.start()
            next_word = began + PROGRESS_SECONDS
            try:
                while not writers.join(0.1):
                    stage.replace_the_ended()
                    strike(faults, world.history.acknowledged())
                    if time.monotonic() >= next_word:
                        next_word = time.monotonic() + PROGRESS_SECONDS
                        stage.say(
                            f"{world.history.acknowledged()} of {plan.reviews} acknowledged, "
                            f"{listeners.heard} events heard; {faults.progress()}"
                        )
            finally:
                restless.stop()
            seconds = time.monotonic() - began
            return conclude(world, writers, listeners, restless, faults, result, seconds)


def announce_one(world: World, write: Write, rng: random.Random) -> None:
    client = Client(world.history, world.stage.gateways)
    world.history.add_write(write)
    keep_asking(client, write, rng)
    client.close()
    wait_until_quiet(lambda: len(world.recorder.arrivals), 0.5, 5)


def any_fault(stage: Stage, rng: random.Random) -> tuple[str, float]:
    """A victim, and for how many seconds it stands still; 0: it is killed."""
    notifiers = [part for part in stage.deployment.parts if part.startswith("notifications")]
    weights = {**dict.fromkeys(notifiers, 2.0), ALL_NOTIFIERS: 1.5, "RabbitMQ": 2.0, "Redis": 1.0}
    victim = rng.choices([*weights], [*weights.values()])[0]
    freezes = victim not in (ALL_NOTIFIERS, "Redis") and rng.random() < FREEZES
    return victim, rng.uniform(*FREEZE_SECONDS) if freezes else 0.0


def crowd(world: World, plan: Plan, rng: random.Random) -> list[Listener]:
    """Listeners by turns at each notifier, in one room or two of every kind."""
    notifiers = len(world.stage.deployment.notifiers)
    genres = sorted({genre.strip().casefold() for genres in GENRES for genre in genres.split(",")})

    def kind(number: int) -> str:
        number %= 100
        if number < IN_ALL:
            return "all"
        if number < IN_ALL + IN_GENRE:
            return f"genre:{rng.choice(genres)}"
        if number < IN_ALL + IN_GENRE + IN_REVIEWERS:
            return f"user:{rng.choice(world.users).id}"
        return str(rng.choice(world.movies))

    found = []
    share = 100 / plan.listeners
    for number in range(plan.listeners):
        rooms = {kind(int(number * share))}
        if rng.random() * 100 < IN_A_SECOND:
            rooms.add(kind(rng.randrange(100)))
        # Spread over all kinds of rooms.
        scripted = number * plan.javascript // plan.listeners
        language = "javascript" if (number + 1) * plan.javascript // plan.listeners > scripted else "python"
        found.append(Listener(f"{language}-{number}", language, number % notifiers, sorted(rooms)))
    return found


class Restless:
    """Cuts the connections of listeners, and lets some leave for another notifier, on a thread of its own."""

    def __init__(self, listeners: Listeners, rng: random.Random) -> None:
        self.cuts = self.switches = 0
        self._listeners = listeners
        self._rng = rng
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="restless listeners", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        listeners = list(self._listeners.all)
        notifiers = self._listeners.notifiers
        place = 0
        while not self._over.wait(RESTLESS_SECONDS):
            name = self._rng.choice(listeners)
            if self._rng.random() < SWITCHES:
                place = (place + 1) % notifiers
                self._listeners.switch(name, place)
                self.switches += 1
            else:
                self._listeners.cut(name)
                self.cuts += 1


def conclude(
    world: World,
    writers: Revisers,
    listeners: Listeners,
    restless: Restless,
    faults: Faults,
    result: Result,
    seconds: float,
) -> Result:
    stage = world.stage
    stage.say(f"{world.history.acknowledged()} acknowledged in {seconds:.0f} s; settling")
    stage.replace_the_ended()
    stage.wait_until_ready()
    listeners.wait_until_inside()
    world.settle()
    wait_for_the_outstanding(world, listeners)
    stage.say("settled")
    stage.replace_the_ended()
    truth = Truth(world.recorder.arrivals)
    findings = judge(listeners.logs, truth)
    verdict = check(world.observe(writers.deleted))
    rejoined = sum(listeners.connections.values()) - len(listeners.all)
    result.checks = [
        Check.none("events that a listener missed and was not told of", findings.missing),
        Check.none("events that a listener heard twice in a room", findings.twice),
        Check.none("events out of order within a movie, as a listener heard them", findings.disordered),
        Check.none("events heard that are not the room's, or older than the position", findings.unexpected),
        Check.none("joins answered without a `last_event_id`", findings.unplaced),
        Check.none("joins refused", listeners.refusals),
        Check.none("listeners not in their rooms at the end", listeners.outside()),
        Check.none("updates and deletions never acknowledged", writers.unfinished),
        *judged(verdict),
        Check.survived(stage),
    ]
    result.notes = [
        f"{len(faults.done)} faults in {seconds:.0f} s: {faults.counts()}. Besides, {restless.cuts} "
        f"connections of listeners cut, and {restless.switches} changes to another notifier.",
        f"{len(truth.events)} events of {verdict.acknowledged + len(writers.deleted)} reviews, "
        f"{writers.updated} updates and {len(writers.deleted)} deletions; attempts by outcome: "
        f"{outcomes(world.history.attempts())}.",
        f"{len(listeners.all)} listeners ({counted_by_language(listeners)}) in {len(listeners.logs)} rooms "
        f"connected again {rejoined} times. {told(findings)}",
    ]
    if listeners.given_up:
        result.notes.append(
            f"Stock clients that had given up, and were started anew: {len(listeners.given_up)} "
            f"({', '.join(listeners.given_up[:3])})."
        )
    return result


def wait_for_the_outstanding(world: World, listeners: Listeners) -> None:
    """Return once every event has been heard that must be, or nothing has been heard for a long time."""
    deadline = time.monotonic() + ARRIVAL_SECONDS
    heard, since = -1, time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < PATIENCE_SECONDS:
        if listeners.heard != heard:
            heard, since = listeners.heard, time.monotonic()
        if not outstanding(listeners.logs, Truth(world.recorder.arrivals)):
            return
        time.sleep(1)


def counted_by_language(listeners: Listeners) -> str:
    languages = [each.language for each in listeners.all.values()]
    return ", ".join(f"{languages.count(each)} {each}" for each in sorted(set(languages), reverse=True))


def told(findings: Findings) -> str:
    """The answers to joins, in words."""
    return (
        f"Joins: {findings.first_joins} first ones; of those with a position {findings.resumed} were "
        f"answered `recovered: true`, {findings.restarted} `recovered: false`; the connection of "
        f"{findings.unanswered} ended before the answer. {findings.heard} events heard, "
        f"{findings.replayed} of them between a join and its answer, so replayed; {findings.skipped} left to "
        f"be read by REST after `recovered: false`, {findings.again} heard again after it. "
        f"{findings.unknown} answers gave a position that is no event."
    )
