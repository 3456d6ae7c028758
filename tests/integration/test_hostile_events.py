"""Whatever is published to a reader: it reads on, REST answers meanwhile, and no socket gets any of it."""

from __future__ import annotations

import json
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import kombu
import pytest

from tests.clients import Account, Api, Listener, sign_in, sign_up
from tests.contract.listeners import join, listen
from tests.integration.connections import frozen
from tests.integration.forgery import (
    announce,
    envelope,
    genuine_review,
    publish,
    put_into_the_stream,
    signer_of_movies,
    until_gateways_followed_sessions,
    until_movies_followed_users,
)
from tests.platforms import FullDeployment, connect
from tests.processes import wait_until

SECONDS = 15
ANSWERED_SECONDS = 4.0  # the slowest of the answers meanwhile, on a busy machine; at 5 s it is a 504
VALUES: list[Any] = [
    *(
        None,
        True,
        "",
        "7",
        "x" * 100_000,
        "a\0b",
        [],
        {},
        [[[]]],
        [None],
        {"id": {}},
        "\u202e",
        "e\u0301" * 50,
    ),
    *(0, -1, 2**53, 2**63, 2**64, 10**30, 1.5, 1e308, float("nan"), float("inf"), float("-inf")),
]
BODIES = [
    *(b"", b"{", b"null", b"[]", b"7", b'"x"', b"NaN", b"{}", b"\xff\xfe", b"[" * 10_000, b'{"a":' * 10_000),
    b'{"id": "\\ud800"}',
    b'{"data": 1e999}',
]
WHO = {"id": 1, "username": "x"}
READERS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "auth",
        "session_revoked",
        {"version": 1, "user": WHO, "session": "s", "expires_at": 9},
    ),
    ("auth", "user_updated", {"version": 1, "user": WHO, "role": "user"}),
    ("auth", "user_deleted", {"version": 1, "user": WHO}),
    ("notifications", "room_told", {"instance": "x", "room": "all", "event": "message", "payload": {}}),
    ("notifications", "notifier_here", {"instance": "x"}),
    ("notifications", "notifier_gone", {"instance": "x"}),
    ("notifications", "presence_asked", {"instance": "x", "ask": "x", "room": "all"}),
    ("notifications", "presence_told", {"instance": "x", "ask": "x", "listeners": 1, "users": []}),
    ("movies", "review_created", {}),
    ("movies", "review_updated", {}),
    ("movies", "review_deleted", {}),
]


@pytest.fixture
def user(full_deployment: FullDeployment) -> Account:
    return sign_up(full_deployment.gateways[0])


@contextmanager
def answers_meanwhile(deployment: FullDeployment, user: Account) -> Iterator[list[float]]:
    """Asks the gateways without a pause for the length of a `with`; the seconds that each answer took."""
    took: list[float] = []
    failed: list[int] = []
    ended = threading.Event()
    movie = user.api.create_movie()

    def ask() -> None:
        apis = [Api(gateway, user.token) for gateway in deployment.gateways]
        while not ended.is_set():
            for api in apis:
                for path in (f"/api/movies/{movie}", "/health/ready"):
                    began = time.monotonic()
                    if (status := api.get(path).status_code) != 200:
                        failed.append(status)
                    took.append(time.monotonic() - began)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield took
    finally:
        ended.set()
        thread.join()
    assert not failed
    assert max(took) < ANSWERED_SECONDS


@pytest.fixture
def burying(full_deployment: FullDeployment) -> Iterator[None]:
    """What a test leaves to movies is a dead letter when it ends, and forgotten."""
    yield
    names = [f"evt-auth-user_{each}--movies.handle_user_{each}" for each in ("updated", "deleted")]
    with kombu.Connection(full_deployment.servers.amqp) as connection:
        channel = connection.default_channel

        def are_empty() -> bool:
            return not any(channel.queue_declare(name, passive=True).message_count for name in names)

        wait_until(are_empty, 4 * SECONDS, "movies has handled all")
        until_movies_followed_users(full_deployment)
        channel.queue_purge("dead-letters.movies")


def hostile(source: str, kind: str, data: dict[str, Any]) -> Iterator[bytes]:
    """Each attribute and each field with each value, and what is no envelope."""
    yield from BODIES
    written = envelope(source, kind, data)
    for name in written:
        for value in VALUES:
            yield json.dumps({**written, name: value}).encode()
    for name in data:
        for value in VALUES:
            yield json.dumps(envelope(source, kind, {**data, name: value})).encode()


@pytest.mark.usefixtures("burying")
def test_every_reader_reads_on_whatever_it_is_sent(full_deployment: FullDeployment, user: Account) -> None:
    genuine = genuine_review(full_deployment, user)
    room = str(genuine["data"]["movie"]["id"])
    count = 0
    with (
        listen(full_deployment.notifiers[0], room, "all") as here,
        listen(full_deployment.notifiers[1], room) as there,
        answers_meanwhile(full_deployment, user),
    ):
        for source, kind, data in READERS:
            bodies = list(hostile(source, kind, data or genuine["data"]))
            count += len(bodies)
            publish(full_deployment, source, kind, *bodies)
        until_movies_followed_users(full_deployment)
        until_gateways_followed_sessions(full_deployment)
        other = sign_up(full_deployment.gateways[0])
        marker = other.api.create_review(int(room), title="Genuine")
        for socket in (here, there):
            heard = socket.next("new_review")
            while heard["movie_id"] != int(room):  # the markers' reviews, which all are told
                heard = socket.next("new_review")
            assert heard["review"]["id"] == marker
            assert socket.heard["disconnect"].empty()
            assert all(socket.heard[name].empty() for name in ("review_updated", "review_deleted", "closed"))
    assert count > 2000
    full_deployment.rpc("auth.rotate_keys")
    fresh = sign_in(full_deployment.gateways[0], user.email)
    assert all(
        Api(url, fresh.token).get("/api/auth/me").status_code == 200 for url in full_deployment.gateways
    )


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_not_even_movies_brings_a_socket_what_it_cannot_read(
    full_deployment: FullDeployment, user: Account, value: Any
) -> None:
    """Signed as by a release that has gone wrong, in place of the rating, the likes, the id, the title."""
    genuine, signer = genuine_review(full_deployment, user), signer_of_movies(full_deployment)
    room = str(genuine["data"]["movie"]["id"])
    wrong = []
    for field in ("rating", "likes", "id", "user_id", "title", "spoiler"):
        fine = (field == "title" and isinstance(value, str) and len(value) < 1000 and "\0" not in value) or (
            (field, value) in (("user_id", None), ("spoiler", True), ("likes", 0))
            or (field, value) in (("rating", 1.5), ("id", 2**53), ("user_id", 2**53))
        )
        if not fine:
            data = {**genuine["data"], "review": {**genuine["data"]["review"], field: value}}
            sent = envelope("movies", "review_created", data)
            wrong.append(json.dumps(_signed(signer, sent)).encode())
    for event_id in ("x" * 101, "", "a b", "é", "x" * 100_000, value):
        if event_id != "7":
            sent = envelope("movies", "review_created", genuine["data"], id=event_id)
            wrong.append(json.dumps(_signed(signer, sent)).encode())
    with listen(full_deployment.notifiers[0], room) as socket:
        start = join(socket, "visitor", room)["last_event_id"]
        publish(full_deployment, "movies", "review_created", *wrong)
        put_into_the_stream(full_deployment, *wrong)
        marker = sign_up(full_deployment.gateways[0]).api.create_review(int(room), title="Genuine")
        heard = socket.next("new_review")
        assert heard["review"]["id"] == marker
        with Listener(full_deployment.notifiers[0]) as again:
            answer = join(again, "visitor", room, start)
            assert answer["recovered"] is True
            assert len(answer["last_event_id"]) <= 100
            assert again.next("new_review") == heard
            assert join(again, "visitor", room, answer["last_event_id"])["recovered"] is True


def _signed(signer: Any, sent: dict[str, Any]) -> dict[str, Any]:
    try:
        return dict(signer.signed(sent))
    except TypeError:  # a number that has no canonical form: nothing of ours could sign it
        return {**sent, "signature": "x"}


def test_a_flood_of_hints_costs_no_more_than_some_questions(
    full_deployment: FullDeployment, user: Account
) -> None:
    who = {"id": user.id, "username": user.username}
    ended = {"version": 1, "user": who, "expires_at": 9}
    promoted = {"version": 2**50, "role": "admin"}
    sessions = [
        envelope("auth", "session_revoked", {**ended, "session": uuid.uuid4().hex}) for _ in range(3000)
    ]
    updates = [
        envelope("auth", "user_updated", {**promoted, "user": {**who, "id": 10**9 + n}}) for n in range(1000)
    ]
    other = sign_up(full_deployment.gateways[0])
    with answers_meanwhile(full_deployment, user):
        publish(full_deployment, "auth", "session_revoked", *sessions)
        publish(full_deployment, "auth", "user_updated", *updates)
        other.api.post("/api/auth/logout")
        began = time.monotonic()
        for gateway in full_deployment.gateways:
            api = Api(gateway, other.token)
            wait_until(lambda a=api: a.get("/api/auth/me").status_code == 401, SECONDS, "it is signed out")
        assert time.monotonic() - began < SECONDS
    until_movies_followed_users(full_deployment)


def test_while_auth_is_away_what_it_is_asked_about_waits_and_nothing_else_does(
    full_deployment: FullDeployment, user: Account
) -> None:
    review = user.api.create_review(user.api.create_movie())
    name = f"renamed-{uuid.uuid4().hex[:12]}"
    with frozen(full_deployment, "movies"):
        assert user.change(username=name).status_code == 200
        user_deleted = {"version": 999, "user": {"id": user.id, "username": user.username}}
        announce(full_deployment, "auth", "user_deleted", user_deleted)
        with frozen(full_deployment, "auth"):
            for process in full_deployment.processes:
                if process.name.startswith("movies-"):
                    process.signal(signal.SIGCONT)  # it is back before auth
            with answers_meanwhile(full_deployment, user):
                time.sleep(3)  # longer than movies waits for auth once
    path = f"/api/reviews/{review}"
    wait_until(lambda: user.api.get(path).json()["username"] == name, SECONDS, "auth's word is followed")
    assert user.api.get(path).json()["user_id"] == user.id
    letters: Any = full_deployment.rpc("movies.dead_letters")
    assert letters == [], "trouble of auth's is not the event's"


@pytest.mark.parametrize("expires", ["infinity", "9999-12-31", "now() + interval '300 years'"])
def test_one_odd_row_keeps_no_gateway_from_the_others(
    full_deployment: FullDeployment, user: Account, expires: str
) -> None:
    moment = expires if "(" in expires else f"'{expires}'"
    connection = connect(full_deployment.databases.auth)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sessions (id, user_id, expires_at, revoked_at) VALUES"
            f" (%s, 1, {moment}, now()), (%s, 1, {moment}, now())",
            ("x" * 500, uuid.uuid4().hex),
        )
        cursor.execute(
            "INSERT INTO signing_keys (kid, pem, created_at, retired_at)"
            " VALUES (%s, 'no key', now() - interval '1 second', now())",
            (uuid.uuid4().hex,),
        )
    try:
        full_deployment.rpc("auth.rotate_keys")
        fresh = sign_in(full_deployment.gateways[0], user.email)
        for gateway in full_deployment.gateways:
            assert Api(gateway, fresh.token).get("/api/auth/me").status_code == 200
            assert Api(gateway).get("/health/ready").status_code == 200
        jwks = Api(full_deployment.gateways[0]).get("/.well-known/jwks.json").json()["keys"]
        assert len(jwks) >= 2
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM sessions WHERE length(id) > 400 OR expires_at > now() + interval '9 years'"
            )
            cursor.execute("DELETE FROM signing_keys WHERE pem = 'no key'")
        connection.close()
