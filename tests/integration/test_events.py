"""What an integration's queue hears (contract, section 3)."""

from __future__ import annotations

import json

from tests.clients import sign_up
from tests.integration.queues import EventQueue
from tests.platforms import FullDeployment


def test_the_life_of_a_movie_and_its_review_is_announced_in_order(full_deployment: FullDeployment) -> None:
    user = sign_up(full_deployment.gateways[0])
    with EventQueue(full_deployment.servers.amqp, "movies") as queue:
        movie = user.api.create_movie(genre="Drama")
        review = user.api.create_review(movie, title="First")
        user.api.put(f"/api/reviews/{review}", {"rating": 3})
        user.api.delete(f"/api/reviews/{review}")
        user.api.put(f"/api/movies/{movie}", {"title": "Renamed"})
        user.api.delete(f"/api/movies/{movie}")
        heard = queue.wait_for(
            lambda events: any(
                e["type"] == "movie_deleted" and e["data"]["movie"]["id"] == movie for e in events
            )
        )
    ours = [event for event in heard if event["data"]["movie"]["id"] == movie]
    assert [event["type"] for event in ours] == [
        "movie_created",
        "review_created",
        "review_updated",
        "review_deleted",
        "movie_updated",
        "movie_deleted",
    ]
    assert [event["data"]["version"] for event in ours] == [1, 2, 3, 4, 5, 6]
    assert [event["data"]["review"]["rating"] for event in ours[1:4]] == [8.0, 3.0, 3.0]


def test_an_event_is_one_persistent_json_envelope(full_deployment: FullDeployment) -> None:
    user = sign_up(full_deployment.gateways[0])
    with EventQueue(full_deployment.servers.amqp, "movies", "review_created") as queue:
        movie = user.api.create_movie(title="Enveloped", genre="Drama")
        review = user.api.create_review(movie, title="Inside")
        queue.wait_for(lambda events: any(e["subject"] == f"reviews/{review}" for e in events))
        envelope, message = next(
            (body, message) for body, message in queue.messages if body["subject"] == f"reviews/{review}"
        )
    assert message.properties["delivery_mode"] == 2
    assert message.content_type == "application/json"
    assert json.loads(message.body) == envelope
    assert (envelope["specversion"], envelope["source"]) == ("1.0", "/movies")
    assert envelope["data"]["movie"] == {"id": movie, "title": "Enveloped", "genre": "Drama"}
    assert envelope["data"]["review"] == user.api.get(f"/api/reviews/{review}").json()


def test_an_accounts_life_is_announced_without_its_secrets(full_deployment: FullDeployment) -> None:
    with EventQueue(full_deployment.servers.amqp, "auth") as queue:
        user = sign_up(full_deployment.gateways[0])
        full_deployment.set_role(user.username, "moderator")
        user.delete()
        heard = queue.wait_for(
            lambda events: any(
                e["type"] == "user_deleted" and e["data"]["user"]["id"] == user.id for e in events
            )
        )
    ours = [event for event in heard if event["data"]["user"]["id"] == user.id]
    assert [event["type"] for event in ours] == [
        "user_registered",
        "user_updated",
        "session_revoked",
        "user_deleted",
    ]
    assert ours[1]["data"]["role"] == "moderator"
    assert user.email not in json.dumps(ours)


def test_a_review_through_rpc_is_announced_too(full_deployment: FullDeployment) -> None:
    user = sign_up(full_deployment.gateways[0])
    movie = user.api.create_movie()
    with EventQueue(full_deployment.servers.amqp, "movies", "review_created") as queue:
        fields = {"title": "By RPC", "rating": 7}
        actor = {"id": user.id, "username": user.username}
        review = full_deployment.rpc("movies.create_review", movie, fields, actor)
        queue.wait_for(lambda events: any(e["subject"] == f"reviews/{review}" for e in events))
    assert user.api.get(f"/api/reviews/{review}").json()["title"] == "By RPC"


def test_what_was_refused_is_not_announced(full_deployment: FullDeployment) -> None:
    user = sign_up(full_deployment.gateways[0])
    movie = user.api.create_movie()
    with EventQueue(full_deployment.servers.amqp, "movies", "review_created") as queue:
        user.api.create_review(movie)
        assert (
            user.api.post(f"/api/movies/{movie}/reviews", {"title": "Twice", "rating": 1}).status_code == 409
        )
        marker = user.api.create_review(user.api.create_movie())
        heard = queue.wait_for(lambda events: any(e["subject"] == f"reviews/{marker}" for e in events))
    assert len([event for event in heard if event["data"]["movie"]["id"] == movie]) == 1
