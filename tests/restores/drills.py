"""A life before the backup, one that is lost, a restore, and a life after it; then all is judged."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal

import redis

from tests import backups
from tests.chaos.stage import Stage
from tests.clients import Api, Listener
from tests.platforms import wait_until_ready
from tests.restores import judgement
from tests.restores.judgement import rows
from tests.restores.ledger import Ledger, Person
from tests.servers import RabbitMq

Database = Literal["auth", "movies"]
# What is judged, in the order of the table's columns.
JUDGED = (
    "tokens of before that work",
    "seen of another",
    "given out twice",
    "resumed, or replayed what is lost",
    "versions that went back",
    "shown and not there",
    "sign-ins that went wrong",
)
_names = count(1)


@dataclass(frozen=True)
class Case:
    """Which databases go back, and whether RabbitMQ and Redis keep what they have."""

    databases: tuple[Database, ...]
    kept: bool

    def __str__(self) -> str:
        which = "both" if len(self.databases) > 1 else f"{self.databases[0]} alone"
        return f"{which}, RabbitMQ and Redis {'kept' if self.kept else 'emptied'}"


CASES = [
    Case(databases, kept)
    for databases in (("auth", "movies"), ("auth",), ("movies",))
    for kept in (True, False)
]


@dataclass
class Story:
    """Who and what there was."""

    ledger: Ledger = field(default_factory=Ledger)
    people: dict[str, Person] = field(default_factory=dict)
    films: dict[str, int] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)  # in the rooms of both films, by era
    versions: dict[int, int] = field(default_factory=dict)


def drill(stage: Stage, case: Case, folder: Path) -> dict[str, list[str]]:
    """What was found wrong, by what is judged."""
    story = Story()
    deployment = stage.deployment
    gateway = stage.gateways[0]
    _before(stage, story)
    environment = {**deployment.environment, "AMQP_URI": deployment.servers.amqp}
    file = backups.written(folder / f"drill-{next(_names)}.tar.gz", environment)
    _lost_time(stage, story)
    story.versions = _versions(deployment.databases.movies)
    stop(stage)
    backups.restored(file, environment, *case.databases, replace=True)
    if not case.kept:
        empty(stage.rabbitmq, stage.redis.url)
    story.ledger.era += 1
    start(stage)
    found = {each: list[str]() for each in JUDGED}
    found["resumed, or replayed what is lost"] = _rooms(stage, story, case)
    found["sign-ins that went wrong"] = _sign_ins(gateway, story, case)
    movies = deployment.databases.movies
    found["tokens of before that work"] = judgement.tokens_of_before(gateway, story.ledger)
    found["seen of another"] = judgement.others_seen(gateway, movies, story.ledger) + _foreign_writes(
        gateway, story
    )
    found["given out twice"] = judgement.doubled(movies, story.ledger)
    found["shown and not there"] = judgement.catalogue(gateway, movies, story.films["old"])
    found["versions that went back"] = _went_back(story, case, _versions(movies))
    return found


def stop(stage: Stage) -> None:
    processes = stage.deployment.processes
    for process in processes:
        process.terminate()
    codes = {process.name: process.stop() for process in processes}
    assert set(codes.values()) <= {0}, f"exit codes after SIGTERM: {codes}"
    processes.clear()


def start(stage: Stage) -> None:
    deployment = stage.deployment
    for part in deployment.parts:
        deployment.start_part(part)
    wait_until_ready(deployment.gateways, deployment.notifiers, deployment.processes)


def empty(rabbitmq: RabbitMq, redis_url: str) -> None:
    """A RabbitMQ that knows nothing, and a Redis that holds nothing."""
    redis.Redis.from_url(redis_url).flushall()
    rabbitmq.stop()
    for each in rabbitmq.folder.iterdir():
        if each.is_dir() and "mnesia" in each.name:
            shutil.rmtree(each)
    rabbitmq.start()


def _register(stage: Stage, story: Story, who: str) -> Person:
    story.people[who] = story.ledger.register(stage.gateways[0], f"{who}-{next(_names)}")
    return story.people[who]


def _before(stage: Stage, story: Story) -> None:
    """Alice, who has reviewed the old film, and Bob."""
    gateway, ledger = stage.gateways[0], story.ledger
    alice = _register(stage, story, "alice")
    _register(stage, story, "bob")
    old = story.films["old"] = ledger.film(gateway, alice, f"Film of before {next(_names)}")
    story.places["before"] = _hear(stage, old, lambda: ledger.review(gateway, alice, old))


def _lost_time(stage: Stage, story: Story) -> None:
    """Carol registers, reviews, and makes a film, which Alice reviews; Bob logs out."""
    gateway, ledger = stage.gateways[0], story.ledger
    carol, alice, old = _register(stage, story, "carol"), story.people["alice"], story.films["old"]
    story.places["lost"] = _hear(stage, old, lambda: ledger.review(gateway, carol, old))
    lost = story.films["lost"] = ledger.film(gateway, carol, f"Film of the lost time {next(_names)}")
    story.places["lost film"] = _hear(stage, lost, lambda: ledger.review(gateway, alice, lost))
    assert story.people["bob"].at(gateway).post("/api/auth/logout").status_code == 200


def _hear(stage: Stage, film: int, act: object) -> str:
    """The place in the film's room after what `act` does is told there."""
    assert callable(act)
    with Listener(stage.deployment.notifiers[0]) as listener:
        listener.call("join_notification", user_id="guest", room_id=str(film))
        act()
        return str(listener.next("new_review")["event_id"])


def _versions(url: str) -> dict[int, int]:
    """Of each film, as its events say it."""
    found = rows(url, "SELECT movie_id, version FROM movie_stats")
    return {int(str(film)): int(str(version)) for film, version in found}


def _went_back(story: Story, case: Case, now: Mapping[int, int]) -> list[str]:
    """Films whose versions are not beyond those of the lost time; what was not restored may stand still."""
    least = 1 if "movies" in case.databases else 0
    before = {film: version for film, version in story.versions.items() if film in now}
    return [f"film {film}: {version}" for film, version in before.items() if now[film] < version + least]


def _rooms(stage: Stage, story: Story, case: Case) -> list[str]:
    """Who comes back with a place of another history is told so, and hears nothing but what is new."""
    gateway, ledger, found = stage.gateways[0], story.ledger, []
    dave = _register(stage, story, "dave")
    new = story.films["new"] = ledger.film(gateway, dave, f"Film of after {next(_names)}")
    joined: Mapping[str, tuple[int, str | None]] = {
        "old film, before": (story.films["old"], story.places["before"]),
        "old film, lost": (story.films["old"], story.places["lost"]),
        "lost film": (story.films["lost"], story.places["lost film"]),
        "new film": (new, None),
        "new film, place of another": (new, story.places["lost film"]),
    }
    listeners: dict[str, Listener] = {}
    try:
        for what, (film, place) in joined.items():
            listeners[what] = Listener(stage.deployment.notifiers[0])
            answer = listeners[what].call(
                "join_notification", user_id="guest", room_id=str(film), last_event_id=place
            )
            if place is not None and answer["recovered"]:
                found.append(f"{what}: recovered")
        said = {film: ledger.review(gateway, dave, film).title for film in (story.films["old"], new)}
        for what, (film, _) in joined.items():
            if film in said:
                title = listeners[what].next("new_review")["review"]["title"]
                if title != said[film]:
                    found.append(f"{what}: heard '{title}'")
            elif not listeners[what].heard["new_review"].empty():
                found.append(f"{what}: heard something")
    finally:
        for listener in listeners.values():
            listener.close()
    return found


def _sign_ins(gateway: str, story: Story, case: Case) -> list[str]:
    """Who is known signs in and sees their own profile, who is not does not."""
    found = []
    for who, person in story.people.items():
        known = who != "carol" or "auth" not in case.databases
        answer = story.ledger.sign_in(gateway, person)
        if (answer.status_code == 200) is not known:
            found.append(f"{who}: {answer.status_code}")
    return found


def _foreign_writes(gateway: str, story: Story) -> list[str]:
    """What Dave, who came last, may do to what others wrote."""
    api: Api = story.people["dave"].at(gateway)
    found = []
    for review in story.ledger.reviews:
        if review.person is not story.people["dave"]:
            answer = api.put(f"/api/reviews/{review.id}", {"title": "changed by another"})
            if answer.status_code not in (403, 404):
                found.append(f"dave changes '{review.title}': {answer.status_code}")
    return found
