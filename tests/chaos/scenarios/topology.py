"""Every exchange, queue and binding of the platform deleted once, alone, under load."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from tests.chaos.deletions import Deletion, deletions
from tests.chaos.history import longest_answer, outcomes, seconds_until_served
from tests.chaos.load import MixedLoad
from tests.chaos.observers import RoomListener
from tests.chaos.probes import GAP, Probes, within
from tests.chaos.report import ANSWER_SECONDS, Check, Result, Table, is_plain, judged
from tests.chaos.scenarios.outages import seconds_until_heard, wait
from tests.chaos.stage import Size, Stage
from tests.chaos.world import World

USERS = 16
WELL_SECONDS = 15.0  # within which all must be well again by itself
GAP_SECONDS = 12.0  # within which every gateway has read the sign-outs anew (REVOCATION_REFRESH is 10 s)
BEFORE_SECONDS = 1.0
GOOD_SECONDS = 2.0  # of success, at the end of each
HEARD_SECONDS = 20.0  # until what was acknowledged counts as not heard
REVIEWS_PER_SECOND = 15  # which no load of ours exceeds
SECONDS_EACH = 30
COLUMNS = (
    "what",
    "how",
    "all is well after",
    "answers meanwhile",
    "longest",
    "sign-out in the gap known after",
    "events lost",
    "to be read by REST",
    "heard twice",
)
EVENTS_LOST = "events lost"  # of the suite's own queue, which is an integration's: it binds once


@dataclass(frozen=True)
class Plan:
    threads: int
    deletions: int  # how many of them, the first ones

    @property
    def size(self) -> Size:
        return Size()


def run(stage: Stage, plan: Plan, seed: int, command: str) -> Result:
    every = list(islice(deletions(stage.rabbitmq), plan.deletions))
    return observe_all(stage, every, plan.threads, random.Random(seed), Result("topology", command))


def observe_all(
    stage: Stage, every: Iterable[Deletion], threads: int, rng: random.Random, result: Result
) -> Result:
    """One after the other under load."""
    every = list(every)
    rows = []
    stage.say(f"{len(every)} deletions")
    with World.open(stage, users=USERS, movies=1, movie_rooms=0) as world:
        probes = prepare(world)
        marks = world.add_movies(len(every))
        count = REVIEWS_PER_SECOND * SECONDS_EACH * len(every) // USERS
        load = MixedLoad(world, world.pairs(rng, world.add_movies(count)), rng, threads, pause=0.1)
        load.start()
        try:
            for deletion, movie in zip(every, marks, strict=True):
                stage.say(f"{deletion.what}, {deletion.how}")
                rows.append(observe(world, deletion, probes, movie, result))
                stage.say(", ".join(rows[-1][2:]))
        finally:
            load.stop()
        stage.say("settling")
        verdict = world.judge()
    result.table = Table(COLUMNS, rows)
    result.checks += [check for check in judged(verdict) if check.what != EVENTS_LOST]
    result.checks.append(Check.survived(stage))
    return result


def prepare(world: World) -> Probes:
    author, leaver, talker = world.users[:3]
    review = author.api.create_review(author.api.create_movie())  # of no movie that the checker knows
    return Probes(world, author, review, leaver, talker)


def observe(world: World, deletion: Deletion, probes: Probes, movie: int, result: Result) -> list[str]:
    """One deletion under load: its row, and its checks into `result`."""
    stage, history = world.stage, world.history
    wait(stage, BEFORE_SECONDS)
    there, first = deletion.count(), newest_review(world)
    began = history.now()
    deletion.act()
    done, at = time.monotonic(), history.now()
    with ThreadPoolExecutor(2) as beside:
        hearing = beside.submit(seconds_until_heard, world, movie, random.Random(movie))
        back = beside.submit(probes.until, lambda: deletion.count() >= there, done)
        found = probes.run(done)
        found["it is there again"] = back.result()
        found["rooms hear a review"] = hearing.result()
    gap = found.pop(GAP)
    ready = within(WELL_SECONDS, stage.is_ready)
    wait(stage, GOOD_SECONDS)
    found["requests succeed"] = seconds_until_served(history.attempts(at), at)
    last = newest_review(world)
    within(HEARD_SECONDS, lambda: not unheard(world, first, last)[0])
    lost, to_be_read = unheard(world, first, last)
    twice = heard_twice(world)
    attempts = history.attempts(began)
    longest, name = longest_answer(attempts), f"{deletion.what} {deletion.how}"
    result.details += [
        *(Check.at_most(f"{name}: {what}", WELL_SECONDS, each, "s") for what, each in found.items()),
        Check.at_most(f"{name}: {GAP}", GAP_SECONDS, gap, "s"),
        Check.at_most(f"{name}: longest answer", ANSWER_SECONDS, longest, "s"),
        Check.none(f"{name}: other answers", [each.outcome for each in attempts if not is_plain(each)]),
        Check.none(f"{name}: events that a listener missed and was not told of", lost),
        Check.none(f"{name}: heard twice", twice),
        Check(f"{name}: every door is ready", "yes", "yes" if ready else "no", ready),
    ]
    well = None if None in found.values() else max(each for each in found.values() if each is not None)
    return [
        deletion.what,
        deletion.how,
        shown(well),
        outcomes(attempts),
        f"{longest:.1f} s",
        shown(gap),
        str(len(lost)),
        str(to_be_read),
        str(len(twice)),
    ]


def shown(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def newest_review(world: World) -> int:
    with world.stage.database("movies") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM reviews")
        (newest,) = cursor.fetchone() or (0,)
    return int(newest)


def unheard(world: World, after: int, last: int) -> tuple[list[str], int]:
    """Of the reviews after that id, those that a listener did not hear: without a word ("listener: review"),
    and how many where it was told later that it has to read by REST.
    """
    query = "SELECT id, extract(epoch FROM created_at) FROM reviews WHERE id > %s AND id <= %s"
    with world.stage.database("movies") as connection, connection.cursor() as cursor:
        cursor.execute(query, [after, last])
        reviews = [(int(review), float(at)) for review, at in cursor.fetchall()]
    lost, to_be_read = [], 0
    for name, listener in world.listeners.items():
        for review, at in reviews:
            if review not in listener.reviews:
                if was_told(listener, at):
                    to_be_read += 1
                else:
                    lost.append(f"{name}: {review}")
    return lost, to_be_read


def was_told(listener: RoomListener, at: float) -> bool:
    return any(told > at for told in listener.told_to_read)


def heard_twice(world: World) -> list[str]:
    return [
        f"{name}: {event}"
        for name, listener in world.listeners.items()
        for event, count in Counter(listener.heard).items()
        if count > 1
    ]
