"""Servers and services that die, on the deployment for that: plain failures meanwhile, nothing lost after."""

from __future__ import annotations

import json
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import requests

from broker.rpc_client import BrokerBlocked, call, open_connection
from tests.chaos.stage import Stage
from tests.clients import Account, Api, Listener, sign_up
from tests.integration.queues import EventQueue
from tests.platforms import FullDeployment, connect
from tests.processes import wait_until
from tests.servers import Postgres, RabbitMq, Redis

RETURN_SECONDS = 35
ANSWER_SECONDS = 6
MORE_THAN_A_POOL = 30  # two movies services have ten connections each
NOTHING_WAITS = {"waiting": 0, "oldest_seconds": None}


@dataclass
class Outages:
    """A deployment with two movies services, the servers under it, and a movie to review."""

    deployment: FullDeployment
    postgres: Postgres
    redis: Redis
    rabbitmq: RabbitMq
    owner: Account
    movie: int

    @property
    def api(self) -> Api:
        return self.owner.api

    def wait_until_served(self) -> None:
        wait_until(
            lambda: self.api.get(f"/api/movies/{self.movie}").status_code == 200,
            RETURN_SECONDS,
            "movies are served again",
        )

    def ask(self, path: str) -> requests.Response:
        """The answer to GET; requests.Timeout where it does not come within ANSWER_SECONDS."""
        return requests.get(self.deployment.gateways[0] + path, timeout=ANSWER_SECONDS)

    def not_well(self, path: str) -> requests.Response:
        """The first 500 at `path`: however often a service is asked, it looks at its database seldom."""
        answers: list[requests.Response] = []

        def is_not_well() -> bool:
            answers.append(self.ask(path))
            return answers[-1].status_code == 500

        wait_until(is_not_well, RETURN_SECONDS, f"{path} says so")
        return answers[-1]

    def announce(self, event_type: str, event: str) -> None:
        """Commit an event of the movie's to the outbox, as a service does."""
        envelope = {"id": event, "type": event_type, "data": {"movie": {"id": self.movie}}}
        connection = connect(self.deployment.databases.movies)
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO outbox (source, type, envelope) VALUES ('movies', %s, %s)",
                [event_type, json.dumps(envelope)],
            )
        connection.close()

    def assert_reviews_are_heard(self) -> None:
        writer = sign_up(self.deployment.gateways[0])
        notifier = self.deployment.notifiers[0]
        wait_until(
            lambda: self.api.session.get(f"{notifier}/health/ready", timeout=5).status_code == 200,
            RETURN_SECONDS,
            "the notifier hears events",
        )
        with Listener(notifier) as listener:
            listener.call("join_notification", user_id="guest", room_id=str(self.movie))
            review = writer.api.create_review(self.movie)
            assert listener.next("new_review")["review"]["id"] == review


@pytest.fixture(scope="module")
def outages(stage: Stage) -> Outages:
    owner = sign_up(stage.gateways[0])
    movie = owner.api.create_movie()
    return Outages(stage.deployment, stage.postgres, stage.redis, stage.rabbitmq, owner, movie)


def test_without_postgresql_the_status_says_so_and_the_rest_is_503(outages: Outages) -> None:
    outages.postgres.kill()
    for path in ("/api/auth/status", "/api/movies/status"):
        response = outages.not_well(path)
        assert set(response.json()) == {"status", "database", "error"}
        assert (response.json()["status"], response.json()["database"]) == ("ERROR", "Not connected")
    refused = outages.api.get(f"/api/movies/{outages.movie}")
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert set(refused.json()) == {"message", "request_id"}
    outages.postgres.start()
    outages.wait_until_served()
    outages.assert_reviews_are_heard()


def test_without_redis_everything_works(outages: Outages) -> None:
    outages.redis.kill()
    try:
        for path in ("/api/movies/popular", "/api/movies/search?q=film"):
            response = outages.api.get(path)
            assert response.status_code == 200
            assert response.json()["message"] == "Results retrieved from database"
        outages.assert_reviews_are_heard()
    finally:
        outages.redis.start()


def test_without_rabbitmq_it_is_503_and_all_is_well_when_it_returns(outages: Outages) -> None:
    outages.rabbitmq.kill()
    assert outages.api.get(f"/api/movies/{outages.movie}").status_code == 503
    assert outages.api.get("/health/live").status_code == 200
    outages.rabbitmq.start()
    outages.wait_until_served()
    outages.assert_reviews_are_heard()


def test_an_alarm_of_rabbitmqs_is_told_from_its_silence(outages: Outages) -> None:
    gateway, deployment = outages.deployment.gateways[0], outages.deployment
    outages.rabbitmq.raise_memory_alarm()
    try:
        wait_until(
            lambda: "takes nothing" in requests.get(f"{gateway}/health/ready", timeout=10).text,
            RETURN_SECONDS,
            "the gateway says so",
        )
        with pytest.raises(BrokerBlocked), open_connection(deployment.servers.amqp, {}) as connection:
            call(connection, "auth.status", seconds=5)
    finally:
        outages.rabbitmq.clear_memory_alarm()
    outages.wait_until_served()


def test_a_frozen_rabbitmq_keeps_nobody_waiting_for_ever(outages: Outages) -> None:
    outages.rabbitmq.kill(signal.SIGSTOP)
    try:
        assert outages.api.get(f"/api/movies/{outages.movie}").status_code in (503, 504)
    finally:
        outages.rabbitmq.kill(signal.SIGCONT)
    outages.wait_until_served()


def test_a_frozen_postgresql_keeps_nobody_waiting_for_ever(outages: Outages) -> None:
    outages.postgres.freeze()
    try:
        with ThreadPoolExecutor(MORE_THAN_A_POOL) as pool:
            path = f"/api/movies/{outages.movie}"
            asked = [pool.submit(outages.ask, path) for _ in range(MORE_THAN_A_POOL)]
            assert {each.result().status_code for each in asked} <= {503, 504}
        assert outages.not_well("/api/movies/status").json()["database"] == "Not connected"
    finally:
        outages.postgres.thaw()
    outages.wait_until_served()
    outages.assert_reviews_are_heard()


def test_another_relay_takes_over_while_its_holder_is_frozen(outages: Outages, stage: Stage) -> None:
    announced = f"announced_{uuid.uuid4().hex}"
    holder = stage.relay_holder()
    assert holder is not None
    with EventQueue(stage.rabbitmq.url, "movies", announced) as queue:
        stage.freeze(holder)
        try:
            outages.announce(announced, "while it is frozen")
            queue.wait_for(lambda events: [event["id"] for event in events] == ["while it is frozen"])
        finally:
            stage.thaw(holder)
        outages.announce(announced, "after that")
        queue.wait_for(lambda events: events[-1]["id"] == "after that")
    assert stage.relay_holder() not in (None, holder)
    wait_until(lambda: outages.deployment.rpc("movies.outbox") == NOTHING_WAITS, RETURN_SECONDS, "all is out")


def test_another_relay_takes_over_when_its_holder_is_killed(outages: Outages, stage: Stage) -> None:
    holder = stage.relay_holder()
    assert holder is not None
    stage.kill(holder)
    outages.wait_until_served()
    outages.assert_reviews_are_heard()
    stage.wait_for_instances("movies", 2)
