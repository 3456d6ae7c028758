"""What somebody made in another form at the broker is said once, used as far as it serves, and left alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import kombu
import pytest
import requests
from amqp import spec
from amqp.exceptions import PreconditionFailed

from broker.topology import REVIEW_STREAM
from broker.upkeep import Troubles, Upkeep
from tests.chaos.stage import Stage
from tests.clients import Api, Listener, sign_up
from tests.processes import wait_until

SECONDS = 15.0
TROUBLE = "is not as it must be ("


@contextmanager
def in_the_way(stage: Stage, exchange: kombu.Exchange, *, internal: bool = False) -> Iterator[None]:
    """An exchange in the place of ours, for the length of a `with`."""
    with kombu.Connection(stage.rabbitmq.url) as connection:
        channel = connection.default_channel
        channel.exchange_delete(exchange.name)
        bound = exchange(channel)
        if internal:
            # py-amqp cannot say it. The bits: passive, durable, auto-delete, internal, no wait.
            channel.send_method(
                spec.Exchange.Declare,
                "BssbbbbbF",
                (0, exchange.name, exchange.type, False, exchange.durable, False, True, False, {}),
                wait=spec.Exchange.DeclareOk,
            )
        else:
            bound.declare()
        try:
            yield
        finally:
            bound.delete()


def lines(stage: Stage, part: str, about: str) -> int:
    """How often a process has complained of it."""
    said = stage.process(part).log.read_text().splitlines()
    return sum(TROUBLE in line and f"the {about} " in line for line in said)


def is_served(stage: Stage) -> bool:
    return all(
        requests.get(f"{gateway}/api/{part}/status", timeout=10).status_code == 200
        for gateway in stage.gateways
        for part in ("auth", "movies")
    )


def why_not_ready(door: str) -> str | None:
    answer = requests.get(f"{door}/health/ready", timeout=5)
    return None if answer.status_code == 200 else str(answer.json()["message"])


def test_an_exchange_of_another_type_is_said_once_by_each_and_makes_the_gateway_unready(stage: Stage) -> None:
    parts = ("auth-0", "movies-0", "gateway-0")
    before = [lines(stage, part, "exchange nameko-rpc") for part in parts]
    with in_the_way(stage, kombu.Exchange("nameko-rpc", "fanout", durable=True)):
        expected = "The exchange nameko-rpc is not as it must be at the broker"
        wait_until(lambda: why_not_ready(stage.gateways[0]) == expected, SECONDS, "it is said")
        wait_until(
            lambda: (
                [lines(stage, part, "exchange nameko-rpc") for part in parts]
                == [count + 1 for count in before]
            ),
            SECONDS,
            "each has said it",
        )
    wait_until(lambda: is_served(stage) and stage.is_ready(), SECONDS, "all is well again")
    assert [lines(stage, part, "exchange nameko-rpc") for part in parts] == [count + 1 for count in before]


def test_an_exchange_that_nobody_may_publish_to_costs_no_link(stage: Stage) -> None:
    log = stage.process("gateway-0").log

    def lost() -> int:
        return log.read_text().count("the link to the broker is lost")

    with in_the_way(stage, kombu.Exchange("nameko-rpc", "topic", durable=True), internal=True):
        wait_until(lambda: why_not_ready(stage.gateways[0]) is not None, SECONDS, "it is said")
        before = lost()
        for _ in range(20):
            assert requests.get(f"{stage.gateways[0]}/api/movies/1", timeout=10).status_code == 503
        assert lost() == before
    wait_until(lambda: is_served(stage) and stage.is_ready(), SECONDS, "all is well again")


def test_an_exchange_that_is_only_not_durable_is_said_and_used(stage: Stage) -> None:
    before = lines(stage, "auth-0", "exchange nameko-rpc")
    with in_the_way(stage, kombu.Exchange("nameko-rpc", "topic", durable=False)):
        wait_until(lambda: lines(stage, "auth-0", "exchange nameko-rpc") == before + 1, SECONDS, "it is said")
        wait_until(lambda: is_served(stage) and stage.is_ready(), SECONDS, "all is well nevertheless")
    wait_until(lambda: is_served(stage), SECONDS, "all is well again")


def test_a_word_for_the_other_notifiers_survives_an_exchange_of_another_type(stage: Stage) -> None:
    user = sign_up(stage.gateways[0])
    notifier = stage.deployment.notifiers[0]
    with in_the_way(stage, kombu.Exchange("notifications.events", "headers", durable=True)):
        wait_until(lambda: why_not_ready(notifier) is not None, SECONDS, "it is said")
        with Listener(notifier, user.token) as listener:
            listener.call("join_notification", user_id=user.id, room_id="all")
            listener.call("message", user_id=user.id, room_id="all", message="to nobody else")
    wait_until(lambda: why_not_ready(notifier) is None, SECONDS, "all is well again")
    with Listener(notifier) as listener:
        wait_until(
            lambda: listener.call("room_presence", room_id="all")["complete"] is True,
            SECONDS,
            "the notifiers hear each other again",
        )


def test_reviews_wait_while_their_stream_is_none_and_are_heard_then(stage: Stage) -> None:
    user = sign_up(stage.gateways[0])
    notifier = stage.deployment.notifiers[0]
    before = said_by_the_relay(stage)
    with kombu.Connection(stage.rabbitmq.url) as connection:
        channel = connection.default_channel
        channel.queue_delete(REVIEW_STREAM)
        # Whoever is first: one of ours may have made it again before this.
        wait_until(lambda: made(channel), SECONDS, "something else has its name")
        wait_until(
            lambda: (
                why_not_ready(notifier) == f"The queue {REVIEW_STREAM} is not as it must be at the broker"
            ),
            SECONDS,
            "it is said",
        )
        wait_until(lambda: said_by_the_relay(stage) > before, SECONDS, "the relay has looked, too")
        review = user.api.create_review(user.api.create_movie())
        assert waiting(stage) >= 1
        channel.queue_delete(REVIEW_STREAM)
    wait_until(lambda: waiting(stage) == 0, SECONDS, "it is announced")
    wait_until(lambda: why_not_ready(notifier) is None, SECONDS, "the notifier reads it")
    with Listener(notifier) as listener:
        joined = listener.call("join_notification", user_id="guest", room_id="all")
        assert joined["last_event_id"]
        user.api.put(f"/api/reviews/{review}", {"rating": 3})
        assert listener.next("review_updated")["review"]["id"] == review


def made(channel: Any) -> bool:
    try:
        channel.queue_declare(REVIEW_STREAM, durable=True, auto_delete=False)
    except PreconditionFailed:
        channel.queue_delete(REVIEW_STREAM)
        return False
    return True


def said_by_the_relay(stage: Stage) -> int:
    return sum(lines(stage, part, f"queue {REVIEW_STREAM}") for part in ("movies-0", "movies-1"))


def waiting(stage: Stage) -> int:
    return int(stage.deployment.rpc("movies.outbox")["waiting"])  # type: ignore[index]


def test_who_may_not_make_an_exchange_uses_its_owners_and_says_when_it_is_missing(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """As a user that configures its own queues, and reads the exchange."""
    name = f"narrow-{uuid.uuid4().hex}"
    exchange = kombu.Exchange(f"{name}.events", "topic", durable=True)
    queue = kombu.Queue(name, exchange, routing_key="#", expires=60)
    stage.rabbitmq.control("add_user", name, "secret")
    stage.rabbitmq.control("set_permissions", name, f"^{name}$", f"^{name}$", f"^{name}")
    narrow = stage.rabbitmq.url.replace("guest:guest", f"{name}:secret")
    troubles = Troubles()
    with kombu.Connection(narrow) as theirs, kombu.Connection(stage.rabbitmq.url) as owners:
        upkeep = Upkeep(theirs.channel(), troubles)
        assert upkeep.queue(queue)
        assert troubles.serious == f"The exchange {name}.events is not as it must be at the broker"
        exchange(owners.default_channel).declare()
        assert upkeep.queue(queue)
        assert troubles.serious is None
        kombu.Producer(owners.default_channel, exchange).publish({}, routing_key="any")
        assert queue(theirs.default_channel).get(no_ack=True) is not None
        exchange(owners.default_channel).delete()
    assert len([each for each in caplog.records if TROUBLE in each.message]) == 1
    assert Api(stage.gateways[0]).get("/health/live").status_code == 200
