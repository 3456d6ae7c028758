"""What anybody may publish who is connected to the broker, whatever it says."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import kombu
import orjson

from broker.events import exchange
from broker.signatures import Signer
from broker.topology import REVIEW_STREAM, required_queues
from tests.clients import Account, Api, Listener, sign_up
from tests.integration.queues import EventQueue
from tests.platforms import FullDeployment, connect
from tests.processes import wait_until

EFFECT_SECONDS = 30


def envelope(source: str, kind: str, data: object, **attributes: object) -> dict[str, Any]:
    """As the services make them, but for `attributes`."""
    return {
        "specversion": "1.0",
        "id": uuid.uuid4().hex,
        "source": f"/{source}",
        "type": kind,
        "time": datetime.now(UTC).isoformat(),
        "subject": "",
        "datacontenttype": "application/json",
        "dataschema": f"urn:movie-review-platform:{kind}:1",
        "data": data,
        **attributes,
    }


def publish(deployment: FullDeployment, source: str, kind: str, *bodies: object) -> None:
    """Publish each of `bodies`, an object or JSON as it is, to `<source>.events`, and into the queues of
    those who must not miss such an event.
    """
    queues = [queue.name for queue in required_queues(source, kind)]
    with kombu.Connection(deployment.servers.amqp, transport_options={"confirm_publish": True}) as connection:
        producer = connection.Producer()
        for body in bodies:
            content = body if isinstance(body, bytes) else orjson.dumps(body)
            for to, key in ((exchange(source).name, kind), *(("", queue) for queue in queues)):
                producer.publish(
                    content,
                    exchange=to,
                    routing_key=key,
                    content_type="application/json",
                    content_encoding="utf-8",
                )


def announce(deployment: FullDeployment, source: str, kind: str, data: object, **attributes: object) -> None:
    publish(deployment, source, kind, envelope(source, kind, data, **attributes))


def put_into_the_stream(deployment: FullDeployment, *bodies: object) -> None:
    """Past the exchange, as whoever may write to the default one."""
    with kombu.Connection(deployment.servers.amqp, transport_options={"confirm_publish": True}) as connection:
        for body in bodies:
            content = body if isinstance(body, bytes) else orjson.dumps(body)
            connection.Producer().publish(
                content,
                routing_key=REVIEW_STREAM,
                content_type="application/json",
                content_encoding="utf-8",
            )


def signer_of_movies(deployment: FullDeployment) -> Signer:
    """What movies signs with."""
    with closing(connect(deployment.databases.movies)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT cursor_key FROM installation")
        row = cursor.fetchone()
    assert row is not None
    return Signer(bytes(row[0]), "movies")


def genuine_review(deployment: FullDeployment, user: Account) -> dict[str, Any]:
    """The envelope of a review that `user` has just written of a new movie; every notifier has heard it."""
    with EventQueue(deployment.servers.amqp, "movies", "review_created") as queue:
        review = user.api.create_review(user.api.create_movie(genre="Drama"))
        queue.wait_for(lambda events: any(each["subject"] == f"reviews/{review}" for each in events))
        heard = next(body for body, _ in queue.messages if body["subject"] == f"reviews/{review}")
    for url in deployment.notifiers:
        with Listener(url) as listener:
            asked = {"user_id": "visitor", "room_id": "all", "last_event_id": heard["id"]}
            assert listener.call("join_notification", **asked)["recovered"] is True
    return dict(heard)


def changed(data: Mapping[str, Any], **changes: object) -> dict[str, Any]:
    """Review data with other fields of the review."""
    return {**data, "review": {**data["review"], **changes}}


def until_movies_followed_users(deployment: FullDeployment) -> None:
    """Return once movies has handled what auth's exchange had before; two in a row, as it handles some at a
    time.
    """
    for _ in range(2):
        user = sign_up(deployment.gateways[0])
        review = user.api.create_review(user.api.create_movie())
        name = f"marker-{uuid.uuid4().hex[:12]}"
        assert user.change(username=name).status_code == 200
        anyone = Api(deployment.gateways[0])
        wait_until(
            lambda a=anyone, r=review, n=name: a.get(f"/api/reviews/{r}").json()["username"] == n,
            EFFECT_SECONDS,
            "a genuine change of name is followed",
        )


def until_gateways_followed_sessions(deployment: FullDeployment) -> None:
    """Return once every gateway has handled what auth's exchange had before."""
    user = sign_up(deployment.gateways[0])
    user.api.post("/api/auth/logout")
    wait_until(
        lambda: all(
            Api(url, user.token).get("/api/auth/me").status_code == 401 for url in deployment.gateways
        ),
        EFFECT_SECONDS,
        "a genuine end of a session is followed",
    )
