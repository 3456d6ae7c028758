"""A message that is delivered twice writes once; and what the table of keys holds, and for how long."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import kombu
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from broker import idempotency
from broker.clock import utc_now
from broker.database import Transaction, engine
from broker.errors import NotFound
from broker.rpc_client import RPC_EXCHANGE, outcome
from tests.clients import PASSWORD, Api, sign_up
from tests.integration.queues import EventQueue
from tests.platforms import Databases, FullDeployment, connect
from tests.servers import ServerUrls

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEADLINE_SECONDS = 10


def delivered(amqp: str, method: str, body: object, times: int = 2) -> list[Any]:
    """The replies to one RPC message that is delivered so many times; raises the error of one."""
    replies: list[Any] = []
    with kombu.Connection(amqp) as connection:
        name = f"test-{uuid.uuid4().hex}"
        queue = kombu.Queue(name, RPC_EXCHANGE, routing_key=name, exclusive=True, auto_delete=True)
        with connection.Consumer(queue, callbacks=[lambda reply, _: replies.append(reply)], no_ack=True):
            producer = connection.Producer(exchange=RPC_EXCHANGE, serializer="json")
            for _ in range(times):
                producer.publish(body, routing_key=method, reply_to=name, correlation_id=name)
            while len(replies) < times:
                connection.drain_events(timeout=DEADLINE_SECONDS)
    return [outcome(reply) for reply in replies]


def call(*args: object) -> dict[str, Any]:
    return {"args": args, "kwargs": {"idempotency_key": uuid.uuid4().hex}}


def test_a_redelivered_call_creates_one_review_and_is_answered_twice(full_deployment: FullDeployment) -> None:
    user = sign_up(full_deployment.gateways[0])
    movie = user.api.create_movie()
    body = call(movie, {"title": "Redelivered", "rating": 7}, {"id": user.id, "username": user.username})
    with EventQueue(full_deployment.servers.amqp, "movies", "review_created") as queue:
        first, second = delivered(full_deployment.servers.amqp, "movies.create_review", body)
        marker = sign_up(full_deployment.gateways[0]).api.create_review(movie)
        heard = queue.wait_for(lambda events: any(e["subject"] == f"reviews/{marker}" for e in events))
    assert first == second
    ours = [event["data"]["review"]["id"] for event in heard if event["data"]["movie"]["id"] == movie]
    assert ours == [first, marker]


def test_what_the_gateway_has_sent_can_be_delivered_once_more(full_deployment: FullDeployment) -> None:
    """The client sent no key; the gateway's own is in the message."""
    user = sign_up(full_deployment.gateways[0])
    title = f"Film {uuid.uuid4().hex}"
    with kombu.Connection(full_deployment.servers.amqp) as connection:
        sent: list[Any] = []
        copies = kombu.Queue(
            f"test-{uuid.uuid4().hex}", RPC_EXCHANGE, routing_key="movies.create", exclusive=True
        )
        with connection.Consumer(copies, callbacks=[lambda body, _: sent.append(body)], no_ack=True):
            movie = user.api.create_movie(title=title)
            while not any(title in json.dumps(body) for body in sent):
                connection.drain_events(timeout=DEADLINE_SECONDS)
    (body,) = (body for body in sent if title in json.dumps(body))
    assert delivered(full_deployment.servers.amqp, "movies.create", body) == [movie, movie]
    found = user.api.get("/api/movies/search", params={"title": title}).json()["data"]
    assert [each["id"] for each in found] == [movie]


def test_each_write_of_an_account_can_be_delivered_twice(full_deployment: FullDeployment) -> None:
    amqp = full_deployment.servers.amqp
    name = f"user-{uuid.uuid4().hex[:12]}"
    email = f"{name}@example.com"
    fields = {"username": name, "email": email, "password": PASSWORD, "confirm_password": PASSWORD}
    changes = {"password": "another password", "current_password": PASSWORD}

    def twice(method: str, *args: object) -> Any:
        first, second = delivered(amqp, f"auth.{method}", call(*args))
        assert first == second
        return first

    with EventQueue(amqp, "auth") as queue:
        user = twice("register", fields)["id"]
        token = twice("login", {"email": email, "password": PASSWORD})["access_token"]
        assert Api(full_deployment.gateways[0], token).get("/api/auth/me").json()["id"] == user
        assert twice("set_role", name, "moderator")["role"] == "moderator"
        assert twice("update_profile", user, "its session", changes)["id"] == user
        twice("login", {"email": email, "password": "another password"})
        twice("delete_account", user, {"current_password": "another password"})
        heard = queue.wait_for(
            lambda events: any(
                e["type"] == "user_deleted" and e["data"]["user"]["id"] == user for e in events
            )
        )
    types = [event["type"] for event in heard if event["data"]["user"]["id"] == user]
    # One session ended with the password, the other with the account.
    once = ["user_registered", "user_updated", "session_revoked", "session_revoked", "user_deleted"]
    assert types == once


def test_a_logout_that_comes_again_after_the_account_is_gone_is_answered_as_before(
    full_deployment: FullDeployment,
) -> None:
    user = sign_up(full_deployment.gateways[0])
    amqp, body = full_deployment.servers.amqp, call(user.id, "its session")
    assert delivered(amqp, "auth.logout", body, times=1) == [None]
    full_deployment.rpc("auth.delete_account", user.id, {"current_password": PASSWORD})
    assert delivered(amqp, "auth.logout", body, times=1) == [None]
    with pytest.raises(NotFound):
        delivered(amqp, "auth.logout", call(user.id, "its session"), times=1)


def test_a_redelivered_rotation_makes_one_key(full_deployment: FullDeployment) -> None:
    api = Api(full_deployment.gateways[0])
    before = {key["kid"] for key in api.get("/.well-known/jwks.json").json()["keys"]}
    first, second = delivered(full_deployment.servers.amqp, "auth.rotate_keys", call())
    assert first == second
    after = {key["kid"] for key in api.get("/.well-known/jwks.json").json()["keys"]}
    assert after == before | {first}


def test_the_table_holds_nothing_secret_and_nothing_that_names_a_person(
    full_deployment: FullDeployment,
) -> None:
    name, key = f"user-{uuid.uuid4().hex[:12]}", f"key-{uuid.uuid4().hex}"
    email, password = f"{name}@example.com", f"secret {uuid.uuid4().hex}"
    api = Api(full_deployment.gateways[0])
    api.session.headers["Idempotency-Key"] = key
    fields = {"username": name, "email": email, "password": password, "confirm_password": password}
    assert api.post("/api/auth/register", fields).status_code == 201
    token = api.post("/api/auth/login", {"email": email, "password": password}).json()["access_token"]
    connection = connect(full_deployment.databases.auth)
    with connection.cursor() as cursor:
        cursor.execute("SELECT key || fingerprint, answer::text FROM idempotency_keys")
        stored = "\n".join(f"{bytes(hashes).decode('latin-1')} {answer}" for hashes, answer in cursor)
    connection.close()
    _, claims, signature = token.split(".")
    session = json.loads(base64.urlsafe_b64decode(claims + "=="))["sid"]
    assert session in stored
    for secret in (key, password, token, claims, signature, name, email):
        assert secret not in stored


# --- the table by itself


@pytest.fixture(scope="module")
def transaction(servers: ServerUrls) -> Iterator[Transaction]:
    """Transactions of a database that has the table of keys and nothing else."""
    databases = Databases.create(servers.postgres)
    bind = engine(databases.auth.replace("postgresql://", "postgresql+psycopg2://"), pool_size=4)
    with bind.begin() as connection:
        for statement in idempotency.SCHEMA_1:
            connection.execute(text(statement))
    yield Transaction(bind)
    bind.dispose()
    databases.drop()


def claimed(session: Session, key: str, now: datetime) -> bool:
    """Whether a key is free, and so is claimed from now on."""
    return idempotency.Write.under(key, "movies.create", 7, [], now).claim(session) is None


@pytest.mark.parametrize("first_fails", [False, True])
def test_a_repetition_waits_for_what_becomes_of_the_first(
    transaction: Transaction, first_fails: bool
) -> None:
    write = idempotency.Write.under(uuid.uuid4().hex, "movies.create", 7, [{"title": "A"}], NOW)
    begun = Event()

    def repeat() -> idempotency.Earlier | None:
        with transaction() as session:
            begun.set()
            return write.claim(session)

    def first(pool: ThreadPoolExecutor) -> Any:
        with transaction() as session:
            assert write.claim(session) is None
            repetition = pool.submit(repeat)
            assert begun.wait(DEADLINE_SECONDS)
            write.settle(session, {"id": 1})
            if first_fails:
                session.rollback()
            return repetition

    with ThreadPoolExecutor(1) as pool:
        earlier = first(pool).result(DEADLINE_SECONDS)
    assert earlier == (None if first_fails else idempotency.Earlier({"id": 1}))


def test_old_keys_are_forgotten_a_batch_at_a_time_and_young_ones_kept(
    transaction: Transaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "FORGET_ROWS", 10)
    now = utc_now()
    with transaction() as session:
        for number in range(35):
            moment = now - timedelta(hours=25 if number < 25 else 23)
            assert claimed(session, f"key-{number}", moment)
    idempotency.AskedWrites("auth.forget_old_keys", timedelta(days=1), transaction.now).forget_old(
        transaction
    )
    with transaction() as session:
        again = [claimed(session, f"key-{number}", now) for number in range(35)]
    assert again == [True] * 25 + [False] * 10
