"""Events on a real broker: tried again, given up as dead letters, listed, handled after all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import kombu
import pytest

from broker.errors import Unavailable
from broker.events import exchange
from broker.rpc_client import call
from tests.clients import sign_up
from tests.integration.forgery import publish, until_movies_followed_users
from tests.integration.queues import EventQueue
from tests.platforms import FullDeployment
from tests.processes import PROGRAMS, Process, wait_until
from tests.servers import ServerUrls

SECONDS = 15
QUEUE = "evt-elsewhere-happened--fragile.handle_happened"


class Fragile:
    """The service of that name, and the events it is sent."""

    def __init__(self, amqp: str) -> None:
        self.connection = kombu.Connection(amqp)

    def call(self, method: str, *args: Any, seconds: float = 10) -> Any:
        return call(self.connection, f"fragile.{method}", *args, seconds=seconds)

    def announce(self, **data: int) -> str:
        """The id of an event that asks for so much trouble."""
        envelope = {
            "specversion": "1.0",
            "id": uuid.uuid4().hex,
            "source": "/elsewhere",
            "type": "happened",
            "time": "2026-01-01T00:00:00Z",
            "data": data,
        }
        producer = kombu.Producer(self.connection.channel(), exchange("elsewhere"))
        producer.publish(envelope, routing_key="happened")
        return str(envelope["id"])

    def is_handled(self, event: str) -> bool:
        return event in self.call("counts")["handled"]

    def attempts(self, event: str) -> int:
        return int(self.call("counts")["calls"][event])

    def dead_letter(self, event: str) -> dict[str, Any] | None:
        return next((letter for letter in self.call("dead_letters") if letter["id"] == event), None)


@pytest.fixture(scope="module")
def fragile(servers: ServerUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fragile]:
    command = [PROGRAMS / "nameko", "run", "--config", "config.yaml", "tests.integration.services:Fragile"]
    process = Process("fragile", command, {"AMQP_URI": servers.amqp}, tmp_path_factory.mktemp("fragile"))
    service = Fragile(servers.amqp)
    try:
        wait_until(lambda: _answers(service), SECONDS, "the service answers")
        yield service
        process.check()
    finally:
        service.connection.close()
        assert process.stop() == 0


def _answers(service: Fragile) -> bool:
    try:
        # A call that comes before the service is never answered.
        return bool(service.call("echo", True, seconds=0.5))
    except Unavailable:
        return False


def test_an_event_that_fails_comes_again(fragile: Fragile) -> None:
    event = fragile.announce(failures=2)
    wait_until(lambda: fragile.is_handled(event), SECONDS, "the event is handled")
    assert fragile.attempts(event) == 3


def test_trouble_that_is_not_the_events_fault_does_not_count(fragile: Fragile) -> None:
    event = fragile.announce(away=8)
    wait_until(lambda: fragile.is_handled(event), SECONDS, "the event is handled")
    assert fragile.attempts(event) == 9


def test_an_event_that_always_fails_is_a_dead_letter_until_it_is_replayed(fragile: Fragile) -> None:
    event = fragile.announce(failures=1000)
    wait_until(lambda: fragile.dead_letter(event) is not None, SECONDS, "it is a dead letter")
    letter = fragile.dead_letter(event)
    assert letter is not None
    assert (letter["queue"], letter["attempts"], letter["error"]) == (
        QUEUE,
        5,
        "ValueError: as it was asked to",
    )
    assert letter["event"]["data"] == {"failures": 1000}
    assert fragile.attempts(event) == 5
    fragile.call("heal", event)
    assert fragile.call("replay_dead_letters", event)["replayed"] == 1
    wait_until(lambda: fragile.is_handled(event), SECONDS, "the event is handled after all")
    assert fragile.dead_letter(event) is None


def test_a_dead_letter_can_be_forgotten_and_leaves_the_others(fragile: Fragile) -> None:
    kept, forgotten = fragile.announce(failures=1000), fragile.announce(failures=1000)
    wait_until(lambda: fragile.dead_letter(kept) is not None, SECONDS, "it is a dead letter")
    wait_until(lambda: fragile.dead_letter(forgotten) is not None, SECONDS, "it is a dead letter")
    assert fragile.call("discard_dead_letters", forgotten) == 1
    assert fragile.dead_letter(forgotten) is None
    assert fragile.dead_letter(kept) is not None
    assert fragile.call("discard_dead_letters", kept) == 1


@pytest.mark.parametrize("body", [b"no JSON", b"\xff\xfe", b"[]", b'{"id": "and nothing else"}'])
def test_what_is_no_event_is_a_dead_letter_at_once(full_deployment: FullDeployment, body: bytes) -> None:
    queue = "evt-auth-user_updated--movies.handle_user_updated"
    with kombu.Connection(full_deployment.servers.amqp) as connection:
        kombu.Producer(connection.channel()).publish(body, routing_key=queue, content_type="application/json")
    letters: list[dict[str, Any]] = []

    def listed() -> bool:
        letters[:] = full_deployment.rpc("movies.dead_letters")  # type: ignore[call-overload]
        return len(letters) == 1

    wait_until(listed, SECONDS, "it is a dead letter")
    assert letters[0]["queue"] == queue
    assert full_deployment.rpc("movies.discard_dead_letters", letters[0]["id"]) == 1
    assert full_deployment.rpc("movies.dead_letters") == []


def test_an_event_that_comes_twice_or_late_undoes_nothing(full_deployment: FullDeployment) -> None:
    user = sign_up(full_deployment.gateways[0])
    review = user.api.create_review(user.api.create_movie())

    def signed_by(name: str) -> bool:
        return bool(user.api.get(f"/api/reviews/{review}").json()["username"] == name)

    with EventQueue(full_deployment.servers.amqp, "auth", "user_updated") as queue:
        names = [f"{word}-{uuid.uuid4().hex[:12]}" for word in ("first", "second")]
        for name in names:
            assert user.change(username=name).status_code == 200
        heard = queue.wait_for(
            lambda events: sum(each["data"]["user"]["id"] == user.id for each in events) == len(names)
        )
    wait_until(lambda: signed_by(names[1]), SECONDS, "the last name is known")
    ours = [each for each in heard if each["data"]["user"]["id"] == user.id]
    publish(full_deployment, "auth", "user_updated", *ours, ours[0])
    until_movies_followed_users(full_deployment)
    assert signed_by(names[1])
