"""Auth, then movies, is dead or stands still, and a hundred calls at once need it."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.chaos.client import Answer, Client
from tests.chaos.history import History, Write, longest_answer, outcomes
from tests.chaos.load import ask
from tests.chaos.report import ANSWER_SECONDS, RETURN_SECONDS, Check, Result, Table, is_plain
from tests.chaos.stage import Size, Stage
from tests.chaos.world import World

LIVE_SECONDS = 0.2  # within which /health/live must answer
POLL_SECONDS = 0.02
ONE_TO = 10  # for so many calls that need the service, one that needs the other one
OBSERVED_SECONDS = 60.0  # how long a service is waited for after its return
NEEDS = {"auth": ("profile", "sign-in"), "movies": ("read", "search", "review")}
COLUMNS = (
    "what",
    "calls at once",
    "answers",
    "longest",
    "answers of the other service",
    "/health/live, median",
    "worst",
    "well again after",
)


@dataclass(frozen=True)
class Plan:
    calls: int
    rounds: int  # how often they are made while the service is away

    @property
    def size(self) -> Size:
        return Size(gateways=1, movies=1, notifiers=1)


class Liveness:
    """Asks a gateway whether it lives, on a new connection each time, for the length of a `with`."""

    def __init__(self, gateway: str) -> None:
        self.seconds: list[float] = []
        self.failures: list[str] = []
        self._gateway = gateway
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> Liveness:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            began = time.monotonic()
            client = Client(History(), [self._gateway])
            answer = client.request("live", "GET", "/health/live")
            client.close()
            self.seconds.append(time.monotonic() - began)
            if answer.outcome != "200":
                self.failures.append(answer.outcome)


class Callers:
    """Many clients that ask at once."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._writes = world.pairs(rng)
        self._rng = rng

    def ask(self, history: History, service: str, count: int) -> None:
        """`count` calls at once, each on a connection of its own; returns when all are over."""
        start = threading.Barrier(count)
        with ThreadPoolExecutor(count) as pool:
            for number in range(count):
                pool.submit(self._ask_one, history, self._call(service, number), start)

    def _call(self, service: str, number: int) -> Callable[[Client], Answer]:
        kind = NEEDS[service][number % len(NEEDS[service])]
        if kind == "review":
            write = self._writes.pop()
            return lambda client: review(client, write)
        movie, user = self._rng.choice(self._world.movies), self._rng.choice(self._world.users)
        return lambda client: ask(client, kind, movie, user)

    def _ask_one(self, history: History, call: Callable[[Client], Answer], start: threading.Barrier) -> None:
        client = Client(history, self._world.stage.gateways)
        start.wait(30)
        call(client)
        client.close()


def review(client: Client, write: Write) -> Answer:
    return client.write(write)


def run(stage: Stage, plan: Plan, seed: int, command: str) -> Result:
    rng = random.Random(seed)
    result = Result("frozen", command)
    rows = []
    movies = 10 + plan.calls * plan.rounds
    with World.open(stage, users=10, movies=movies // 10) as world:
        callers = Callers(world, rng)
        for service, other in (("auth", "movies"), ("movies", "auth")):
            for deed in ("SIGKILL", "SIGSTOP"):
                stage.say(f"{deed} of {service}, and {plan.calls} calls at once")
                rows.append(case(callers, world, plan, Case(service, other, deed), result))
    result.checks.append(Check.survived(stage))
    result.table = Table(COLUMNS, rows)
    return result


@dataclass(frozen=True)
class Case:
    service: str
    other: str
    deed: str


def case(callers: Callers, world: World, plan: Plan, which: Case, result: Result) -> list[str]:
    """One service away by one deed: its row, and its checks into `result`."""
    stage, part = world.stage, f"{which.service}-0"
    needing, others = History(), History()
    with Liveness(stage.gateways[0]) as liveness:
        (stage.freeze if which.deed == "SIGSTOP" else stage.kill_for_good)(part)
        for _ in range(plan.rounds):
            others_asking = threading.Thread(
                target=callers.ask, args=(others, which.other, max(plan.calls // ONE_TO, 1))
            )
            others_asking.start()
            callers.ask(needing, which.service, plan.calls)
            others_asking.join()
    (stage.thaw if which.deed == "SIGSTOP" else stage.start)(part)
    back = seconds_until_well(world, which.service)
    name = f"{which.deed} of {which.service}"
    median, worst = statistics.median(liveness.seconds), max(liveness.seconds)
    longest = longest_answer(needing.attempts() + others.attempts())
    odd = [each.outcome for each in needing.attempts() + others.attempts() if not is_plain(each)]
    result.details += [
        Check.at_most(f"{name}: longest answer", ANSWER_SECONDS, longest, "s"),
        Check.none(f"{name}: answers other than 200, 201, 503, 504", odd),
        Check.at_most(f"{name}: /health/live, worst", LIVE_SECONDS, worst, "s", 3),
        Check.none(f"{name}: /health/live failed", liveness.failures),
        Check.at_most(f"{name}: well again after its return", RETURN_SECONDS, back, "s"),
    ]
    return [
        name,
        str(plan.calls),
        outcomes(needing.attempts()),
        f"{longest:.1f} s",
        outcomes(others.attempts()),
        f"{1000 * median:.0f} ms",
        f"{1000 * worst:.0f} ms",
        "never" if back is None else f"{back:.1f} s",
    ]


def seconds_until_well(world: World, service: str) -> float | None:
    """How long it takes until each kind of call that needs `service` succeeds; None where it never does."""
    client = Client(world.history, world.stage.gateways)
    movie, user = world.movies[0], world.users[0]
    began = time.monotonic()
    kinds = [kind for kind in NEEDS[service] if kind != "review"]
    while time.monotonic() - began < OBSERVED_SECONDS:
        if all(ask(client, kind, movie, user).outcome == "200" for kind in kinds):
            client.close()
            return time.monotonic() - began
        time.sleep(0.1)
    client.close()
    return None
