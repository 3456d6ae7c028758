"""Tokens beyond one gateway: names that change, the release before, and what nobody of ours says."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import Any

import jwt
import kombu
import pytest

from auth import domain
from broker.events import exchange
from broker.tokens import ALGORITHM, ISSUER
from broker.topology import required_queues
from tests.clients import Account, Api, Listener, sign_in, sign_up
from tests.contract.listeners import refusal
from tests.integration.notifiers import another_notifier
from tests.platforms import FullDeployment, connect
from tests.processes import wait_until

EFFECT_SECONDS = 10


@pytest.fixture
def user(full_deployment: FullDeployment) -> Account:
    return sign_up(full_deployment.gateways[0])


def names_in(url: str, room: str) -> list[str]:
    with Listener(url) as listener:
        return list(listener.call("room_presence", room_id=room)["users"])


def test_a_notifier_that_starts_later_shows_the_new_name(
    full_deployment: FullDeployment, user: Account
) -> None:
    name = f"renamed-{uuid.uuid4().hex[:12]}"
    assert user.change(username=name).status_code == 200
    with another_notifier(full_deployment) as (_, url), Listener(url, user.token) as listener:
        listener.call("join_notification", user_id=user.id, room_id=f"user:{user.id}")
        wait_until(
            lambda: names_in(url, f"user:{user.id}") == [name], EFFECT_SECONDS, "it shows the new name"
        )


def signed(deployment: FullDeployment, user: Account, header: dict[str, Any], **claims: Any) -> str:
    """A token as auth signs it but for `header` and `claims`."""
    with connect(deployment.databases.auth) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT kid, pem FROM signing_keys WHERE retired_at IS NULL")
        row = cursor.fetchone()
    connection.close()
    assert row is not None
    key = domain.SigningKey(*row)
    now = int(datetime.now(UTC).timestamp())
    said = {
        "iss": ISSUER,
        "sub": str(user.id),
        "name": user.username,
        "sid": uuid.uuid4().hex,
        "iat": now,
        "exp": now + 60,
    }
    private = domain.private_key(key, deployment.environment["SIGNING_KEY_SECRET"])
    return jwt.encode({**said, **claims}, private, algorithm=ALGORITHM, headers={"kid": key.kid, **header})


def test_tokens_of_the_release_before_are_good_at_every_door(
    full_deployment: FullDeployment, user: Account
) -> None:
    old = signed(full_deployment, user, {})
    for gateway in full_deployment.gateways:
        assert Api(gateway, old).get("/api/auth/me").json()["id"] == user.id
    for notifier in full_deployment.notifiers:
        assert refusal(notifier, {"token": old}) is None


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        *[
            ({"typ": "id+jwt"}, {}),
            ({"typ": "at+jwt"}, {}),
            ({}, {"aud": "somebody-else"}),
            ({}, {"aud": ISSUER}),
        ],
        *[
            ({"typ": "at+jwt"}, {"aud": ISSUER, **wrong})
            for wrong in ({"sub": "0"}, {"sid": 7}, {"exp": 10**12})
        ],
        *[
            ({"typ": "at+jwt"}, {"aud": ISSUER, **wrong})
            for wrong in ({"iat": int(time.time()) + 3600}, {"name": {}})
        ],
    ],
    ids=str,
)
def test_tokens_that_are_signed_and_wrong_are_refused_at_every_door(
    full_deployment: FullDeployment, user: Account, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    wrong = signed(full_deployment, user, header, **claims)
    assert Api(full_deployment.gateways[0], wrong).get("/api/auth/me").status_code == 401
    assert refusal(full_deployment.notifiers[0], {"token": wrong})


UNREADABLE_UPDATES = 6


def publish(deployment: FullDeployment, kind: str, data: Any) -> None:
    """As whoever may write to auth's exchange, and into movies' queue as auth's relay does."""
    envelope = {"specversion": "1.0", "id": uuid.uuid4().hex, "source": "/auth", "type": kind, "data": data}
    with kombu.Connection(deployment.servers.amqp) as connection:
        producer = connection.Producer(serializer="json")
        envelope["time"] = datetime.now(UTC).isoformat()
        producer.publish(envelope, exchange=exchange("auth").name, routing_key=kind)
        for queue in required_queues("auth", kind):
            producer.publish(envelope, routing_key=queue.name)


def test_what_is_no_event_of_auths_poisons_neither_gateways_nor_notifiers(
    full_deployment: FullDeployment, user: Account
) -> None:
    who = {"id": user.id, "username": user.username}
    for expires_at in ("2030-01-01", None, True, 1.5, [], 10**30):
        publish(
            full_deployment,
            "session_revoked",
            {"user": who, "session": uuid.uuid4().hex, "expires_at": expires_at},
        )
    for name in (None, 7, ["x"], "", {}):
        publish(
            full_deployment, "user_updated", {"version": 9, "user": {**who, "username": name}, "role": "user"}
        )
    publish(full_deployment, "session_revoked", {})
    publish(full_deployment, "user_updated", {"user": who, "role": 7, "version": "9"})
    # Movies sets aside what it cannot read, and changes nothing by it.
    wait_until(
        lambda: len(full_deployment.rpc("movies.dead_letters")) == UNREADABLE_UPDATES,
        EFFECT_SECONDS,
        "they are among the dead letters",
    )
    for letter in full_deployment.rpc("movies.dead_letters"):
        full_deployment.rpc("movies.discard_dead_letters", letter["id"])
    # A new key is read by all of them, which is what they could not do any more.
    full_deployment.rpc("auth.rotate_keys")
    fresh = sign_in(full_deployment.gateways[0], user.email)
    for gateway in full_deployment.gateways:
        assert Api(gateway, fresh.token).get("/api/auth/me").json()["username"] == user.username
    for notifier in full_deployment.notifiers:
        assert refusal(notifier, {"token": fresh.token}) is None
    fresh.api.post("/api/auth/logout")
    wait_until(
        lambda: all(
            Api(gateway, fresh.token).get("/api/auth/me").status_code == 401
            for gateway in full_deployment.gateways
        ),
        EFFECT_SECONDS,
        "revocations are followed still",
    )
