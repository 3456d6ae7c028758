"""One message cannot take a service away, whatever it holds and wherever it comes in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kombu
import pytest

from broker.dead_letters import FROM_ELSEWHERE, FROM_NOWHERE, QUEUE_GONE, UNREADABLE_LETTER
from tests.platforms import FullDeployment, running
from tests.poison.cases import MILLISECONDS
from tests.poison.frames import Publisher, long, longlong, table
from tests.poison.world import (
    MOST_LISTED,
    SECONDS,
    Target,
    World,
    a_listener_hears_a_review,
    targets,
)
from tests.processes import wait_until
from tests.servers import PrivateServers


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two movies services and two notifiers on servers of their own."""
    with PrivateServers() as servers:
        deployment = FullDeployment(servers.urls, tmp_path_factory.mktemp("poison"), movies=2, notifiers=2)
        with running(deployment):
            world = World(deployment)
            yield world
            world.close()


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_nothing_that_is_published_there_needs_a_hand(world: World, target: Target) -> None:
    outcome = world.poison(target)
    assert outcome.unreadable
    if target.letters is not None:
        world.empty(f"dead-letters.{target.letters}")
    assert a_listener_hears_a_review(world)


@pytest.mark.parametrize("service", ["auth", "movies"])
def test_dead_letters_of_anybodys_are_listed_and_discarded_and_do_not_go_back(
    world: World, service: str
) -> None:
    queue = f"dead-letters.{service}"
    world.empty(queue)
    target = Target("", queue, {"case": "CASE"}, list)
    outcome = world.poison(target)
    answer: Any = world.deployment.rpc(f"{service}.replay_dead_letters")
    assert answer["replayed"] == 0
    assert {each["reason"] for each in answer["left"]} <= {UNREADABLE_LETTER, FROM_NOWHERE, FROM_ELSEWHERE}
    assert len(world.listed(service)) == len(outcome.sent) < MOST_LISTED
    for letter in world.listed(service)[:20]:
        assert world.deployment.rpc(f"{service}.discard_dead_letters", letter["id"]) >= 1  # type: ignore[operator]
    world.empty(queue)
    world.check()


def test_a_replay_goes_past_what_cannot_go_back(world: World) -> None:
    world.empty("dead-letters.movies")
    gone, known = (
        "evt-auth-nothing--movies.handle_nothing",
        "evt-auth-user_updated--movies.handle_user_updated",
    )
    with Publisher(world.deployment.servers.amqp) as publisher:
        for headers, body in (
            (table((b"x-queue", b"S" + long(gone.encode()))), b'{"id": "of a queue that is gone"}'),
            (table(), b'{"id": "from nowhere"}'),
            (table((b"x-queue", b"T" + longlong(MILLISECONDS))), b'{"id": "illegible"}'),
            (table((b"x-queue", b"S" + long(b"rpc-auth"))), b'{"id": "from elsewhere"}'),
            (table((b"x-queue", b"S" + long(known.encode()))), b'{"id": "it goes back, and is no event"}'),
        ):
            publisher.publish("", b"dead-letters.movies", {"headers": headers}, body)
    answer: Any = world.deployment.rpc("movies.replay_dead_letters")
    assert answer["replayed"] == 1
    assert {each["id"]: each["reason"] for each in answer["left"]} == {
        "of a queue that is gone": QUEUE_GONE,
        "from nowhere": FROM_NOWHERE,
        "illegible": UNREADABLE_LETTER,
        "from elsewhere": FROM_ELSEWHERE,
    }
    wait_until(lambda: world.waiting("dead-letters.movies") == 5, SECONDS, "that one is a dead letter again")
    for each in answer["left"]:
        assert world.deployment.rpc("movies.discard_dead_letters", each["id"]) == 1
    world.empty("dead-letters.movies")


def test_replies_that_cannot_be_read_reach_nobody_and_stop_nobody(world: World) -> None:
    """As somebody sends them who has heard a call, and with it the address of its caller's replies."""
    outcome = world.poison(Target("", overheard_address(world), {"case": "CASE"}, list))
    assert outcome.unreadable
    assert world.account.api.get(f"/api/movies/{world.movie}").status_code == 200


def overheard_address(world: World) -> str:
    with kombu.Connection(world.deployment.servers.amqp) as connection, connection.channel() as channel:
        exchange = kombu.Exchange("nameko-rpc", "topic", durable=True)
        ear = kombu.Queue("an-ear", exchange, routing_key="movies.#", exclusive=True)(channel)
        ear.declare()
        assert world.account.api.get(f"/api/movies/{world.movie}").status_code == 200
        # It was routed here and there at once, and there it was answered by now.
        heard = ear.get(no_ack=True)
        assert heard is not None
        return str(heard.properties["reply_to"])
