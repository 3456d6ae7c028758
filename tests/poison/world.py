"""A platform to poison, whom the poison is for, and what became of it."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import kombu
import requests

from tests.clients import Account, sign_up
from tests.platforms import FullDeployment
from tests.poison.cases import Case, body_cases, call_cases, event_cases, header_cases, property_cases
from tests.poison.frames import Publisher, Refused, octet, short
from tests.processes import ROOT, wait_until

SECONDS = 30
MOST_LISTED = 1000
REST_PAUSE_SECONDS = 0.005
REPLIES = "poison-replies"
CASE = "CASE"
AMQPLIB_SECONDS = 60
LINK_LOST = ("the link to the broker is lost", "the link to the broker failed", "hearing events failed")


@dataclass(frozen=True)
class Target:
    """A place to publish to, and what is right there.

    `letters`: the service whose dead letters get what cannot be read, None where it is only counted.
    `body` has CASE where a case's name is to stand.
    """

    exchange: str
    routing_key: str
    body: Mapping[str, Any]
    more: Callable[[], Iterable[Case]]
    letters: str | None = None
    answers: bool = False

    @property
    def name(self) -> str:
        return f"{self.exchange or 'default exchange'}/{self.routing_key}"

    def cases(self) -> Iterator[Case]:
        yield from property_cases()
        yield from header_cases()
        yield from body_cases(self.body)
        yield from self.more()


def event(kind: str, source: str, **data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": CASE,
        "source": f"/{source}",
        "type": kind,
        "time": "2026-01-01T00:00:00Z",
        "data": data,
    }


def targets() -> list[Target]:
    """Every queue and exchange that a service reads. Nobody has these ids."""
    user = {"id": 2**41 + 1, "username": "nobody"}
    updated = event("user_updated", "auth", version=1, user=user, role="user")
    deleted = event("user_deleted", "auth", version=1, user=user)
    revoked = event("session_revoked", "auth", version=1, user=user, session="none", expires_at=4_000_000_000)
    movie = {"id": 2**41 + 1, "title": "Nothing", "genre": "Drama"}
    times = dict.fromkeys(("created_at", "updated_at"), "2026-01-01T00:00:00Z")
    writer = {"user_id": user["id"], "username": "nobody"}
    words = {"title": "x", "body": "", "rating": 8.0, "spoiler": False, "likes": 0}
    review = {"id": 2**41 + 1, "movie_id": movie["id"], **writer, **words, **times}
    created = event("review_created", "movies", version=1, movie=movie, review=review)
    told = event(
        "room_told", "notifications", instance="x", room="all", event="message", payload={"message": "x"}
    )
    call = {"args": [1], "kwargs": {}, "case": CASE}
    status = {"args": [], "kwargs": {}, "case": CASE}

    def calls(arguments: list[Any]) -> Callable[[], Iterable[Case]]:
        return lambda: call_cases(arguments)

    def events(whole: Mapping[str, Any]) -> Callable[[], Iterable[Case]]:
        return lambda: event_cases(whole)

    return [
        Target("nameko-rpc", "movies.get", call, calls([1]), "movies", answers=True),
        Target("nameko-rpc", "movies.search", call, calls([{"q": "x"}]), "movies", answers=True),
        Target("nameko-rpc", "auth.status", status, calls([1]), "auth", answers=True),
        Target("", "rpc-movies", call, calls([1]), "movies", answers=True),
        Target("", "evt-auth-user_updated--movies.handle_user_updated", updated, events(updated), "movies"),
        Target("", "evt-auth-user_deleted--movies.handle_user_deleted", deleted, events(deleted), "movies"),
        Target("auth.events", "user_updated", updated, events(updated)),
        Target("auth.events", "user_deleted", deleted, events(deleted)),
        Target("auth.events", "session_revoked", revoked, events(revoked)),
        Target("movies.events", "review_created", created, events(created)),
        Target("", "notifications.reviews", created, events(created)),
        Target("notifications.events", "room_told", told, events(told)),
    ]


@dataclass
class Latencies:
    """Of REST meanwhile, in milliseconds, and what was not answered as it should be."""

    milliseconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        ordered = sorted(self.milliseconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


@contextmanager
def rest_meanwhile(gateway: str, movie: int) -> Iterator[Latencies]:
    """Asks for a film, one request after the other, for the length of a `with`."""
    latencies, ended = Latencies(), threading.Event()

    def ask() -> None:
        with requests.Session() as session:
            while not ended.wait(REST_PAUSE_SECONDS):
                began = time.monotonic()
                answer = session.get(f"{gateway}/api/movies/{movie}", timeout=30)
                latencies.milliseconds.append((time.monotonic() - began) * 1000)
                if answer.status_code != 200:
                    latencies.failures.append(f"{answer.status_code} {answer.text}")

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield latencies
    finally:
        ended.set()
        asker.join()


@dataclass
class Outcome:
    """What became of the cases of a target. `unreadable` are the names of those that must be dead letters."""

    target: Target
    sent: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # by RabbitMQ
    unreadable: list[str] = field(default_factory=list)
    answerable: set[str] = field(default_factory=set)
    letters: int = 0
    answered: int = 0
    milliseconds_p99: float = 0.0


class World:
    """A running platform."""

    def __init__(self, deployment: FullDeployment) -> None:
        self.deployment = deployment
        self.account: Account = sign_up(deployment.gateways[0])
        self.movie = self.account.api.create_movie()
        self._connection = kombu.Connection(deployment.servers.amqp)
        self._channel = self._connection.channel()
        self._numbers = count()
        self.replies: set[str] = set()
        replies = kombu.Queue(
            REPLIES, kombu.Exchange("nameko-rpc", "topic"), routing_key=REPLIES, exclusive=True
        )
        consumer = kombu.Consumer(self._channel, [replies], on_message=self._on_reply, no_ack=True)
        consumer.consume()

    def close(self) -> None:
        self._connection.close()

    def poison(self, target: Target) -> Outcome:
        """Publish the cases of a target, and return once all that must become of them has."""
        outcome = Outcome(target)
        with rest_meanwhile(self.deployment.gateways[0], self.movie) as latencies:
            self._publish(target, list(target.cases()), outcome)
            self._publish_by_amqplib(target, outcome)
            self._wait(outcome)
        assert not latencies.failures, f"{target.name}: REST answered {latencies.failures[:3]}"
        outcome.milliseconds_p99 = latencies.percentile(0.99)
        self.check()
        return outcome

    def check(self) -> None:
        """AssertionError where a process has ended, or has lost its link."""
        for process in self.deployment.processes:
            process.check()
            log = process.log.read_text(errors="replace")
            for line in log.splitlines():
                assert not any(words in line for words in LINK_LOST), f"{process.name}: {line}"

    def listed(self, service: str) -> list[dict[str, Any]]:
        letters = self.deployment.rpc(f"{service}.dead_letters", MOST_LISTED)
        assert isinstance(letters, list)
        return letters

    def unread(self, target: Target) -> int:
        """How many of a target's dead letters could not be read."""
        letters = self.listed(target.letters or "")
        return sum(letter["properties"] is not None for letter in letters)

    def waiting(self, queue: str) -> int:
        """How many messages lie in a queue."""
        with self._connection.channel() as channel:
            return int(
                kombu.Queue(queue, channel=channel, durable=True).queue_declare(passive=True).message_count
            )

    def empty(self, queue: str) -> None:
        with self._connection.channel() as channel:
            channel.queue_declare(queue, durable=True, auto_delete=False)
            channel.queue_purge(queue)

    def message(self, target: Target, case: Case, name: str) -> tuple[str, bytes, dict[str, bytes], bytes]:
        properties = {
            "content_type": short(b"application/json"),
            "content_encoding": short(b"utf-8"),
            "delivery_mode": octet(1),
        }
        if target.answers:
            properties |= {"reply_to": short(REPLIES.encode()), "correlation_id": short(name.encode())}
        body = json.dumps(target.body).encode() if case.body is None else case.body
        # As an id, or in place of one; a body that is no JSON carries its name in vain.
        body = body.replace(b'"CASE"', json.dumps(name).encode())
        return target.exchange, target.routing_key.encode(), {**properties, **case.properties}, body

    def _publish(self, target: Target, cases: Sequence[Case], outcome: Outcome) -> None:
        publisher = Publisher(self.deployment.servers.amqp)
        try:
            for case in cases:
                name = f"case {next(self._numbers)}"
                try:
                    publisher.publish(*self.message(target, case, name))
                except Refused:
                    outcome.refused.append(case.name)
                    publisher.close()
                    publisher = Publisher(self.deployment.servers.amqp)
                    continue
                outcome.sent.append(case.name)
                if not case.legible:
                    outcome.unreadable.append(case.name)
                elif target.answers and not {"reply_to", "correlation_id"} & set(case.properties):
                    outcome.answerable.add(name)
        finally:
            publisher.close()

    def _publish_by_amqplib(self, target: Target, outcome: Outcome) -> None:
        right = {
            "exchange": target.exchange,
            "routingKey": target.routing_key,
            "body": json.dumps(target.body),
            "properties": {"contentType": "application/json"},
        }
        asked = json.dumps(
            {"url": self.deployment.servers.amqp.removesuffix("/") + "%2F", "targets": [right]}
        )
        node = subprocess.run(
            ["node", "poison.mjs"],
            cwd=ROOT / "tests" / "javascript",
            input=asked,
            capture_output=True,
            text=True,
            check=False,
            timeout=AMQPLIB_SECONDS,
        )
        assert node.returncode == 0, node.stderr
        for _, name, legible, taken in map(json.loads, node.stdout.splitlines()):
            if not taken:
                outcome.refused.append(f"amqplib, {name}")
                continue
            outcome.sent.append(f"amqplib, {name}")
            if not legible:
                outcome.unreadable.append(f"amqplib, {name}")

    def _wait(self, outcome: Outcome) -> None:
        target = outcome.target
        if target.answers:
            deadline = time.monotonic() + SECONDS
            while missing := outcome.answerable - self.replies:
                assert time.monotonic() < deadline, f"{target.name}: no answers to {sorted(missing)[:5]}"
                self._connection.drain_events(timeout=SECONDS)
            outcome.answered = len(outcome.answerable)
        if target.letters is not None:
            most = len(outcome.unreadable)
            wait_until(lambda: self.unread(target) == most, SECONDS, f"{target.name}: {most} were unreadable")
            outcome.letters = self.waiting(f"dead-letters.{target.letters}")

    def _on_reply(self, message: kombu.Message) -> None:
        self.replies.add(str(message.properties.get("correlation_id")))


def a_listener_hears_a_review(world: World) -> bool:
    """Whether a review that is written now reaches the rooms of every notifier."""
    from tests.clients import Listener

    listeners = [Listener(url) for url in world.deployment.notifiers]
    try:
        room = str(world.account.api.create_movie())
        for listener in listeners:
            listener.call("join_notification", user_id=f"guest-{uuid.uuid4().hex[:6]}", room_id=room)
        review = world.account.api.create_review(int(room))
        return all(listener.next("new_review")["review"]["id"] == review for listener in listeners)
    finally:
        for listener in listeners:
            listener.close()
