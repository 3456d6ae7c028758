"""Nothing of a room is missed: over a reconnect, at another notifier, after a restart, after an outage."""

from __future__ import annotations

import json
import queue
import random
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import kombu
import pytest
import requests

from broker import events
from broker.topology import REVIEW_STREAM
from tests.chaos.stage import Stage
from tests.clients import DEADLINE_SECONDS, Account, InOrder, Listener, sign_up
from tests.integration.forgery import signer_of_movies
from tests.integration.wire import Wire
from tests.platforms import FullDeployment, connect, wait_until_ready
from tests.processes import PROGRAMS, Process, free_port, wait_until

RETURN_SECONDS = 35
MOST_PER_ROOM = 5
NAMES = {
    "new_review": "review_created",
    "review_updated": "review_updated",
    "review_deleted": "review_deleted",
}


class Reader(Listener):
    """A client in one room, with one list of what it hears; joins after `last` if that is given."""

    CLIENT = InOrder

    def __init__(self, notifier: str, room: str, last: str | None = None) -> None:
        super().__init__(notifier)
        self.told: queue.Queue[dict[str, Any]] = queue.Queue()
        for name in NAMES:
            self.client.on(name, partial(self._hear, name))
        self.joined = self.call("join_notification", user_id="guest", room_id=room, last_event_id=last)
        assert "error" not in self.joined

    def _hear(self, name: str, payload: dict[str, Any]) -> None:
        self.told.put({**payload, "event": name})

    def hear(self, count: int) -> list[str]:
        """The ids of the next `count` events; none came before them, and for the moment none after."""
        heard = [self.told.get(timeout=DEADLINE_SECONDS)["event_id"] for _ in range(count)]
        assert self.told.empty()
        return heard

    def close(self) -> None:
        super().close()
        if self.client.eio.ws is not None:  # the client leaves one open that the notifier has closed
            self.client.eio.ws.shutdown()

    def __enter__(self) -> Self:
        return self


class Room:
    """The room of a movie that nobody else knows, in which reviews are announced past the services, with the
    signature of movies.
    """

    def __init__(self, amqp: str, deployment: FullDeployment) -> None:
        self.movie = random.randrange(10**9, 10**15)
        self.name = str(self.movie)
        self._amqp = amqp
        self._signer = signer_of_movies(deployment)
        self._version = 0

    def envelope(self, title: str = "Great", body: str = "") -> dict[str, Any]:
        """The next review's event."""
        self._version += 1
        now = datetime.now(UTC)
        review = events.Review(
            **{"id": self._version, "movie_id": self.movie, "user_id": 7, "username": "anna"},
            **{"title": title, "body": body, "rating": 8.0, "spoiler": False, "likes": 0},
            **{"created_at": now.isoformat(), "updated_at": now.isoformat()},
        )
        movie = events.MovieReference(id=self.movie, title="Heat", genre="Crime")
        event = events.ReviewCreated(version=self._version, movie=movie, review=review)
        return self._signer.signed(events.envelope(event, now))

    def announce(self, count: int) -> list[str]:
        """Publish the events of `count` reviews; their ids."""
        envelopes = [self.envelope() for _ in range(count)]
        self.publish(*envelopes)
        return [envelope["id"] for envelope in envelopes]

    def publish(self, *envelopes: dict[str, Any]) -> None:
        with kombu.Connection(self._amqp, transport_options={"confirm_publish": True}) as connection:
            producer = connection.Producer(serializer="json")
            for envelope in envelopes:
                producer.publish(envelope, routing_key=REVIEW_STREAM)


@pytest.fixture
def room(full_deployment: FullDeployment) -> Room:
    return Room(full_deployment.servers.amqp, full_deployment)


def test_after_a_reconnect_what_was_missed_is_replayed_in_order(
    full_deployment: FullDeployment, room: Room
) -> None:
    notifier = full_deployment.notifiers[0]
    with Reader(notifier, room.name) as reader:
        assert reader.joined["recovered"] is False
        heard = room.announce(3)
        assert reader.hear(3) == heard
    missed = room.announce(20)
    with Reader(notifier, room.name, heard[-1]) as reader:
        assert reader.hear(20) == missed
        assert (reader.joined["recovered"], reader.joined["last_event_id"]) == (True, missed[-1])
        live = room.announce(2)
        assert reader.hear(2) == live


def test_another_notifier_knows_what_was_missed(full_deployment: FullDeployment, room: Room) -> None:
    here, there = full_deployment.notifiers
    with Reader(here, room.name) as reader:
        start = reader.joined["last_event_id"]
    # The room is empty, and to have been in it is worth something all the same.
    missed = room.announce(5)
    with Reader(there, room.name, start) as reader:
        assert reader.hear(5) == missed
        assert reader.joined["recovered"] is True
    with Reader(here, room.name, missed[2]) as reader:
        assert reader.hear(2) == missed[3:]


def test_what_one_room_told_is_a_position_in_any_other(full_deployment: FullDeployment, room: Room) -> None:
    other = Room(full_deployment.servers.amqp, full_deployment)
    with Reader(full_deployment.notifiers[0], room.name) as reader:
        (heard,) = room.announce(1)
        assert reader.hear(1) == [heard]
    missed = other.announce(2)
    room.announce(1)
    with Reader(full_deployment.notifiers[1], other.name, heard) as reader:
        assert reader.hear(2) == missed


def test_with_an_unknown_position_nothing_is_replayed(full_deployment: FullDeployment, room: Room) -> None:
    before = room.announce(2)
    with Reader(full_deployment.notifiers[0], room.name, before[0]) as witness:
        assert witness.hear(1) == before[1:]  # it has come here
    with Reader(full_deployment.notifiers[0], room.name, uuid.uuid4().hex) as reader:
        assert (reader.joined["recovered"], reader.joined["last_event_id"]) == (False, before[-1])
        live = room.announce(1)
        assert reader.hear(1) == live


def test_a_redelivered_event_is_heard_once(full_deployment: FullDeployment, room: Room) -> None:
    twice, last = room.envelope(), room.envelope()
    with Reader(full_deployment.notifiers[0], room.name) as reader:
        start = reader.joined["last_event_id"]
        room.publish(twice, twice, last, twice, twice)
        end = room.announce(1)
        assert reader.hear(3) == [twice["id"], last["id"], *end]
    with Reader(full_deployment.notifiers[1], room.name, start) as reader:
        assert reader.hear(3) == [twice["id"], last["id"], *end]


def test_joining_a_room_again_replays_without_telling_anything_twice(
    full_deployment: FullDeployment, room: Room
) -> None:
    with Reader(full_deployment.notifiers[0], room.name) as reader:
        heard = room.announce(3)
        assert reader.hear(3) == heard
        who = {"user_id": "guest", "room_id": room.name}
        answer = reader.call("join_notification", **who, last_event_id=heard[0])
        assert (answer["recovered"], reader.hear(2)) == (True, heard[1:])
        answer = reader.call("join_notification", **who)
        assert (answer["recovered"], answer["last_event_id"]) == (False, heard[-1])
        live = room.announce(2)
        assert reader.hear(2) == live


def test_rooms_of_a_socket_are_limited(full_deployment: FullDeployment, room: Room) -> None:
    with Reader(full_deployment.notifiers[0], room.name) as reader:
        for number in range(1, 50):
            assert "error" not in reader.call("join_notification", user_id="guest", room_id=number)
        answer = reader.call("join_notification", user_id="guest", room_id=50)
        assert answer["code"] == "too_many_rooms"
        assert "50" in answer["error"]


def test_who_joins_in_the_midst_of_it_hears_each_event_once(
    full_deployment: FullDeployment, room: Room
) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(1) as thread:
        with Reader(full_deployment.notifiers[0], room.name) as reader:
            start = reader.joined["last_event_id"]
        announcing = thread.submit(room.announce, 400)
        readers = [
            stack.enter_context(Reader(full_deployment.notifiers[number % 2], room.name, last))
            for number, last in enumerate([start, None] * 4)
        ]
        announced = announcing.result()
        for reader in readers[::2]:
            assert reader.joined["recovered"] is True
            assert reader.hear(400) == announced
        for reader in readers[1::2]:
            last = reader.joined["last_event_id"]
            missed = announced.index(last) + 1 if last in announced else 0
            assert reader.hear(400 - missed) == announced[missed:]


# --- a notifier that loses the broker, or its life


@dataclass
class OwnNotifier:
    """One that remembers little, at the end of a wire to the broker."""

    deployment: FullDeployment
    wire: Wire
    folder: Path
    process: Process | None = None

    def __post_init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        environment = {
            **self.deployment.environment,
            "AMQP_URI": self.wire.url,
            "NOTIFIER_PORT": str(self.port),
            "NOTIFIER_HISTORY_EVENTS": str(MOST_PER_ROOM),
        }
        command = [PROGRAMS / "python", "-m", "notifications"]
        self.process = Process("own-notifier", command, environment, self.folder)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        assert self.process is not None
        wait_until_ready([], [self.url], [self.process])

    def is_ready(self) -> bool:
        return requests.get(f"{self.url}/health/ready", timeout=5).status_code == 200


@pytest.fixture(scope="module")
def own(full_deployment: FullDeployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnNotifier]:
    with Wire(full_deployment.servers.amqp) as wire:
        notifier = OwnNotifier(full_deployment, wire, tmp_path_factory.mktemp("own"))
        try:
            notifier.start()
            yield notifier
        finally:
            if notifier.process is not None:
                notifier.process.end()


def test_where_a_room_has_told_more_than_is_kept_nothing_is_replayed(own: OwnNotifier, room: Room) -> None:
    with Reader(own.url, room.name) as reader:
        start = reader.joined["last_event_id"]
        missed = room.announce(MOST_PER_ROOM + 1)
        assert reader.hear(len(missed)) == missed
    with Reader(own.url, room.name, start) as reader:
        assert (reader.joined["recovered"], reader.joined["last_event_id"]) == (False, missed[-1])
        live = room.announce(1)
        assert reader.hear(1) == live
    with Reader(own.url, room.name, missed[1]) as reader:
        assert reader.hear(MOST_PER_ROOM) == [*missed[2:], *live]
        assert reader.joined["recovered"] is True


def test_a_notifier_started_again_knows_what_it_missed(own: OwnNotifier, room: Room) -> None:
    with Reader(own.url, room.name) as reader:
        heard = room.announce(2)
        assert reader.hear(2) == heard
        assert own.process is not None
        own.process.end()
        missed = room.announce(3)
    own.start()
    with Reader(own.url, room.name, heard[0]) as reader:
        assert reader.hear(4) == [heard[1], *missed]
        live = room.announce(1)
        assert reader.hear(1) == live


def test_a_notifier_that_was_cut_off_takes_up_where_it_was(own: OwnNotifier, room: Room) -> None:
    """Nobody's socket is closed, and who comes meanwhile waits for what is missed like the others."""
    with Reader(own.url, room.name) as reader:
        heard = room.announce(2)
        assert reader.hear(2) == heard
        own.wire.cut()
        wait_until(lambda: not own.is_ready(), DEADLINE_SECONDS, "it has noticed")
        missed = room.announce(20)
        with Reader(own.url, room.name, heard[0]) as newcomer:
            assert newcomer.hear(1) == heard[1:]
            own.wire.mend()
            assert newcomer.hear(20) == missed
        assert reader.hear(20) == missed
        own.wait_until_ready()


def test_without_a_history_nobody_is_let_in(tmp_path: Path) -> None:
    port = free_port()
    environment = {"AMQP_URI": f"amqp://127.0.0.1:{free_port()}//", "NOTIFIER_PORT": str(port)}
    process = Process("early", [PROGRAMS / "python", "-m", "notifications"], environment, tmp_path)
    url = f"http://127.0.0.1:{port}"

    def lives() -> bool:
        process.check()
        try:
            return requests.get(f"{url}/health/live", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    try:
        wait_until(lives, DEADLINE_SECONDS, "it listens")
        refused = requests.get(f"{url}/socket.io/?EIO=4&transport=polling", timeout=5)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert set(refused.json()) == {"message", "request_id"}
    finally:
        process.end()


# --- on servers that a test may hurt


def announce_in_the_outbox(stage: Stage, *envelopes: dict[str, Any]) -> None:
    """Commit the events as movies does."""
    connection = connect(stage.deployment.databases.movies)
    with connection.cursor() as cursor:
        for envelope in envelopes:
            cursor.execute(
                "INSERT INTO outbox (source, type, envelope) VALUES ('movies', %s, %s)",
                [envelope["type"], json.dumps(envelope)],
            )
    connection.close()


def test_a_broker_that_dies_and_returns_costs_no_event_and_closes_no_socket(stage: Stage) -> None:
    room = Room(stage.rabbitmq.url, stage.deployment)
    before, during = [[room.envelope() for _ in range(5)] for _ in range(2)]
    with Reader(stage.deployment.notifiers[0], room.name) as reader:
        announce_in_the_outbox(stage, *before)
        assert reader.hear(5) == [each["id"] for each in before]
        stage.rabbitmq.kill()
        announce_in_the_outbox(stage, *during)
        stage.rabbitmq.start()
        stage.wait_for_door("notifications-0")
        assert reader.hear(5) == [each["id"] for each in during]
    with Reader(stage.deployment.notifiers[0], room.name, before[-1]["id"]) as reader:
        assert reader.hear(5) == [each["id"] for each in during]


def test_when_the_stream_is_deleted_all_are_told_that_they_may_have_missed_something(stage: Stage) -> None:
    notifier = stage.deployment.notifiers[0]
    room = Room(stage.rabbitmq.url, stage.deployment)
    with Reader(notifier, room.name) as reader:
        heard = room.announce(2)
        assert reader.hear(2) == heard
        with kombu.Connection(stage.rabbitmq.url) as connection:
            connection.default_channel.queue_delete(REVIEW_STREAM)
        wait_until(lambda: not reader.client.connected, RETURN_SECONDS, "its socket is closed")
    stage.wait_for_door("notifications-0")
    with Reader(notifier, room.name, heard[-1]) as reader:
        assert reader.joined["recovered"] is False
        envelope = room.envelope()
        announce_in_the_outbox(stage, envelope)
        assert reader.hear(1) == [envelope["id"]]


# --- snapshot and events


class Page:
    """What a page shows: read by REST after joining, and kept up to date by what it hears."""

    def __init__(self, deployment: FullDeployment, writer: Account, movie: int) -> None:
        self._deployment = deployment
        self._writer = writer
        self._movie = movie
        self.versions: list[int] = []
        with Reader(deployment.notifiers[0], str(movie)) as reader:
            self._last: str = reader.joined["last_event_id"]
            self.reviews = self.read()
            self.follow(reader, 2)

    def read(self) -> dict[int, Any]:
        """All reviews of the movie as REST has them, by id."""
        answer = self._writer.api.get(f"/api/movies/{self._movie}/reviews?limit=100").json()
        return {review["id"]: review for review in answer["data"]}

    def follow(self, reader: Reader, count: int) -> None:
        for _ in range(count):
            told = reader.told.get(timeout=DEADLINE_SECONDS)
            self._last = told["event_id"]
            if told["event"] == "review_deleted":
                self.reviews.pop(told["review"]["id"], None)
            else:
                self.reviews[told["review"]["id"]] = told["review"]

    def follow_at(self, notifier: str, count: int) -> None:
        """Join again, hear `count` events, and be lost."""
        with Reader(notifier, str(self._movie), self._last) as reader:
            assert reader.joined["recovered"] is True
            self.follow(reader, count)

    def follow_until(self, notifier: str, review: int) -> None:
        """Join again, until that review is told of."""
        with Reader(notifier, str(self._movie), self._last) as reader:
            assert reader.joined["recovered"] is True
            while review not in self.reviews:
                self.follow(reader, 1)


def write(account: Account, movie: int, seed: int) -> int:
    """Create, change and delete reviews of one's own; how many events that makes."""
    chance = random.Random(seed)
    review, events = None, 0
    for number in range(12):
        if review is None:
            review = account.api.create_review(movie, title=f"{seed}.{number}")
        elif chance.random() < 0.4:
            assert account.api.delete(f"/api/reviews/{review}").status_code == 200
            review = None
        else:
            change = {"title": f"{seed}.{number}", "rating": chance.randrange(1, 11)}
            assert account.api.put(f"/api/reviews/{review}", change).status_code == 200
        events += 1
    return events


def test_a_snapshot_and_the_events_since_are_a_fresh_snapshot(full_deployment: FullDeployment) -> None:
    writers = [sign_up(gateway) for gateway in full_deployment.gateways * 2]
    movie = writers[0].api.create_movie()
    last = sign_up(full_deployment.gateways[0])
    with ThreadPoolExecutor(len(writers)) as threads:
        writing = [threads.submit(write, writer, movie, seed) for seed, writer in enumerate(writers)]
        page = Page(full_deployment, last, movie)
        for turn in range(6):
            page.follow_at(full_deployment.notifiers[(turn + 1) % 2], 4)
        count = sum(each.result() for each in writing)
    assert count == 48
    page.follow_until(full_deployment.notifiers[1], last.api.create_review(movie, title="The last"))
    assert page.reviews == page.read()


def test_the_versions_of_a_movie_ascend_in_its_room(full_deployment: FullDeployment, room: Room) -> None:
    with Reader(full_deployment.notifiers[0], room.name) as reader:
        room.announce(50)
        heard = [reader.told.get(timeout=DEADLINE_SECONDS)["review"]["id"] for _ in range(50)]
    assert heard == list(range(1, 51))
