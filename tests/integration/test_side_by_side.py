"""Two movies services, two gateways and two notifiers at once."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.clients import Account, Api, Listener, sign_in, sign_up
from tests.integration.queues import EventQueue
from tests.platforms import FullDeployment

USERS = 20
MOVIES = 10
AT_ONCE = 8


@dataclass
class Outcome:
    posted: dict[int, tuple[int, float]]  # review id → movie id, rating
    events: list[dict[str, Any]]
    in_rooms: list[list[dict[str, Any]]]  # of each listener, what it heard


@pytest.fixture(scope="module")
def outcome(full_deployment: FullDeployment) -> Outcome:
    """200 reviews, posted through both gateways at once while rooms and a queue listen."""
    first, second = full_deployment.gateways
    with ThreadPoolExecutor(2) as pool:  # more at once would be told that too many are signing in
        users = list(pool.map(lambda _: sign_up(first), range(USERS)))
    movies = [users[0].api.create_movie(genre="Side by Side") for _ in range(MOVIES)]

    def post(pair: tuple[Account, int]) -> tuple[int, tuple[int, float]]:
        user, movie = pair
        rating = random.randint(2, 20) / 2
        api = Api(random.choice([first, second]), user.token)
        return api.create_review(movie, rating=rating), (movie, rating)

    pairs = [(user, movie) for user in users for movie in movies]
    random.shuffle(pairs)
    with ExitStack() as stack:
        queue = stack.enter_context(EventQueue(full_deployment.servers.amqp, "movies", "review_created"))
        listeners = [stack.enter_context(Listener(url)) for url in full_deployment.notifiers]
        for listener in listeners:
            listener.call("join_notification", user_id="x", room_id="genre:side by side")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            posted = dict(pool.map(post, pairs))
        # One more review comes after all the others of its movie: what was to come of them has come.
        last = sign_up(second).api
        markers = {last.create_review(movie) for movie in movies}
        events = queue.wait_for(lambda heard: markers <= {review_id(event["data"]) for event in heard})
        in_rooms = [_heard_until(listener, markers) for listener in listeners]
    return Outcome(
        posted,
        [event for event in events if review_id(event["data"]) not in markers],
        [[push for push in heard if review_id(push) not in markers] for heard in in_rooms],
    )


def review_id(data: dict[str, Any]) -> int:
    return int(data["review"]["id"])


def _heard_until(listener: Listener, markers: set[int]) -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []
    while not markers <= {review_id(push) for push in heard}:
        heard.append(listener.next("new_review"))
    return heard


def test_every_review_is_announced_once(outcome: Outcome) -> None:
    assert Counter(review_id(event["data"]) for event in outcome.events) == Counter(list(outcome.posted))


def test_every_event_has_an_id_of_its_own(outcome: Outcome) -> None:
    assert len({event["id"] for event in outcome.events}) == USERS * MOVIES


def test_a_movies_events_come_in_the_order_of_their_versions(outcome: Outcome) -> None:
    for movie in {event["data"]["movie"]["id"] for event in outcome.events}:
        versions = [e["data"]["version"] for e in outcome.events if e["data"]["movie"]["id"] == movie]
        assert versions == sorted(set(versions))


def test_the_room_hears_every_review_once_at_every_notifier(outcome: Outcome) -> None:
    for heard in outcome.in_rooms:
        assert Counter(review_id(push) for push in heard) == Counter(list(outcome.posted))


def test_no_aggregate_is_lost(outcome: Outcome, full_deployment: FullDeployment) -> None:
    for movie in {movie for movie, _ in outcome.posted.values()}:
        # The marker gave eight stars.
        ratings = [rating for of, rating in outcome.posted.values() if of == movie] + [8.0]
        for gateway in full_deployment.gateways:
            shown = Api(gateway).get(f"/api/movies/{movie}").json()
            assert shown["review_count"] == USERS + 1
            assert shown["average_rating"] == sum(ratings) / len(ratings)


def test_a_token_of_one_gateway_is_good_at_the_other(full_deployment: FullDeployment) -> None:
    first, second = full_deployment.gateways
    account = sign_up(first)
    assert Api(second, account.token).get("/api/auth/me").json()["username"] == account.username
    assert sign_in(second, account.email).id == account.id
