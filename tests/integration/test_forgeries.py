"""What is announced by somebody who does not own it is not believed, and the owner's word is, in time."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from broker.errors import Forbidden, Unauthenticated
from broker.signatures import Signer
from tests.clients import Account, Api, Listener, sign_in, sign_up
from tests.contract.listeners import join, listen
from tests.integration.forgery import (
    EFFECT_SECONDS,
    announce,
    changed,
    envelope,
    genuine_review,
    publish,
    put_into_the_stream,
    until_gateways_followed_sessions,
    until_movies_followed_users,
)
from tests.integration.queues import EventQueue
from tests.platforms import FullDeployment, connect
from tests.processes import wait_until

NOBODY = 2**62
LATER = 2**40  # seconds since 1970
# Genuine changes are known everywhere within milliseconds; a busy machine takes its time.
GENUINE_SECONDS = 5.0


@pytest.fixture
def user(full_deployment: FullDeployment) -> Account:
    return sign_up(full_deployment.gateways[0])


def is_admin(gateway: str, user: Account) -> bool:
    return Api(gateway, user.token).delete("/api/movies/cache/clear").status_code == 200


def is_signed_in(gateway: str, token: str) -> bool:
    return Api(gateway, token).get("/api/auth/me").status_code == 200


def who(user: Account, **changes: object) -> dict[str, Any]:
    return {"id": user.id, "username": user.username, **changes}


@pytest.mark.parametrize("version", [2, 999, 2**31, 2**53 - 1])
@pytest.mark.parametrize("role", ["admin", "moderator"])
def test_a_role_that_auth_has_not_given_is_nobodys(
    full_deployment: FullDeployment, user: Account, role: str, version: int
) -> None:
    other = sign_up(full_deployment.gateways[0])
    movie = other.api.create_movie()
    announce(full_deployment, "auth", "user_updated", {"version": version, "user": who(user), "role": role})
    until_gateways_followed_sessions(full_deployment)
    for gateway in full_deployment.gateways:
        api = Api(gateway, user.token)
        assert not is_admin(gateway, user)
        assert api.put(f"/api/movies/{movie}", {"genre": "Stolen"}).status_code == 403
    full_deployment.set_role(user.username, "admin")
    given = time.monotonic()
    for gateway in full_deployment.gateways:
        wait_until(lambda g=gateway: is_admin(g, user), EFFECT_SECONDS, "the role that auth gives holds")
    assert time.monotonic() - given < GENUINE_SECONDS
    announce(full_deployment, "auth", "user_updated", {"version": version, "user": who(user), "role": "user"})
    until_gateways_followed_sessions(full_deployment)
    assert all(is_admin(gateway, user) for gateway in full_deployment.gateways)


@pytest.mark.parametrize("version", [2, 999, 2**53 - 1])
def test_a_name_that_auth_has_not_given_signs_nothing(
    full_deployment: FullDeployment, user: Account, version: int
) -> None:
    review = user.api.create_review(user.api.create_movie())
    forged = {"version": version, "user": who(user, username="somebody else"), "role": "user"}
    announce(full_deployment, "auth", "user_updated", forged)
    until_movies_followed_users(full_deployment)
    until_gateways_followed_sessions(full_deployment)
    path = f"/api/reviews/{review}"
    assert user.api.get(path).json()["username"] == user.username
    name = f"renamed-{uuid.uuid4().hex[:12]}"
    assert user.change(username=name).status_code == 200
    wait_until(
        lambda: user.api.get(path).json()["username"] == name, GENUINE_SECONDS, "auth's word is followed"
    )
    second = user.api.create_review(user.api.create_movie())
    assert user.api.get(f"/api/reviews/{second}").json()["username"] == name


def test_a_name_that_an_older_release_was_told_for_good_is_corrected(
    full_deployment: FullDeployment, user: Account
) -> None:
    review = user.api.create_review(user.api.create_movie())
    with connect(full_deployment.databases.movies) as connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE reviewers SET username = 'forged', version = 999 WHERE user_id = %s", (user.id,)
        )
    connection.close()
    announce(full_deployment, "auth", "user_updated", {"version": 2, "user": who(user), "role": "user"})
    wait_until(
        lambda: user.api.get(f"/api/reviews/{review}").json()["username"] == user.username,
        EFFECT_SECONDS,
        "its reviews are signed by its own name again",
    )


def test_the_account_of_somebody_who_lives_is_not_deleted(
    full_deployment: FullDeployment, user: Account
) -> None:
    other = sign_up(full_deployment.gateways[0])
    liked = other.api.create_review(other.api.create_movie())
    assert user.api.put(f"/api/reviews/{liked}/like").json() == {"likes": 1}
    movie = user.api.create_movie()
    review = user.api.create_review(movie)
    for version in (2, 999):
        announce(full_deployment, "auth", "user_deleted", {"version": version, "user": who(user)})
    until_movies_followed_users(full_deployment)
    gone = sign_up(full_deployment.gateways[0])
    unsigned = gone.api.create_review(movie)
    assert gone.delete().status_code == 200
    anyone = Api(full_deployment.gateways[0])
    wait_until(
        lambda: anyone.get(f"/api/reviews/{unsigned}").json()["user_id"] is None,
        GENUINE_SECONDS,
        "who is gone signs nothing",
    )
    kept = anyone.get(f"/api/reviews/{review}").json()
    assert (kept["user_id"], kept["username"]) == (user.id, user.username)
    assert anyone.get(f"/api/reviews/{liked}").json()["likes"] == 1
    assert user.api.put(f"/api/movies/{movie}", {"genre": "Mine"}).status_code == 200


def test_a_session_that_auth_has_not_ended_goes_on(full_deployment: FullDeployment, user: Account) -> None:
    with connect(full_deployment.databases.auth) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM sessions WHERE user_id = %s", (user.id,))
        row = cursor.fetchone()
    connection.close()
    assert row is not None
    with ExitStack() as stack:
        sockets = [stack.enter_context(Listener(url, user.token)) for url in full_deployment.notifiers]
        for expires_at in (0, int(time.time()) + 60, LATER):
            forged = {"version": 1, "user": who(user), "session": row[0], "expires_at": expires_at}
            announce(full_deployment, "auth", "session_revoked", forged)
        until_gateways_followed_sessions(full_deployment)
        assert all(is_signed_in(gateway, user.token) for gateway in full_deployment.gateways)
        other = sign_up(full_deployment.gateways[0])
        others = [stack.enter_context(Listener(url, other.token)) for url in full_deployment.notifiers]
        other.api.post("/api/auth/logout")
        ended = time.monotonic()
        for socket in others:
            assert socket.next("closed")["code"] == "token_revoked"
        assert time.monotonic() - ended < GENUINE_SECONDS
        for socket in sockets:
            assert socket.call("room_presence", room_id="all")["room_id"] == "all"
            assert socket.heard["closed"].empty()


def test_every_end_of_a_session_has_a_version_of_its_own(
    full_deployment: FullDeployment, user: Account
) -> None:
    with EventQueue(full_deployment.servers.amqp, "auth") as queue:
        again = [sign_in(full_deployment.gateways[0], user.email) for _ in range(3)]
        again[0].api.post("/api/auth/logout")
        assert user.change(username=f"other-{uuid.uuid4().hex[:12]}").status_code == 200
        assert user.change(password="another password").status_code == 200
        user.password = "another password"
        assert user.delete().status_code == 200
        heard = queue.wait_for(
            lambda events: any(
                each["type"] == "user_deleted" and each["data"]["user"]["id"] == user.id for each in events
            )
        )
    ours = [each for each in heard if each["data"]["user"]["id"] == user.id]
    versions = [each["data"]["version"] for each in ours]
    assert versions == sorted(set(versions)), "who keeps the highest drops nothing"
    revoked = [each for each in ours if each["type"] == "session_revoked"]
    assert len(revoked) == 4
    assert [each["subject"] for each in revoked] == [
        f"sessions/{each['data']['session']}" for each in revoked
    ]


Forge = Callable[[dict[str, Any]], dict[str, Any]]


def unsigned(genuine: dict[str, Any]) -> dict[str, Any]:
    return envelope("movies", genuine["type"], genuine["data"])


def with_anothers_signature(genuine: dict[str, Any]) -> dict[str, Any]:
    return envelope("movies", genuine["type"], genuine["data"], signature=genuine["signature"])


def signed_by_another_key(genuine: dict[str, Any]) -> dict[str, Any]:
    return Signer(b"mine", "movies").signed(unsigned(genuine))


def under_the_key_of_movies(genuine: dict[str, Any]) -> dict[str, Any]:
    forged = signed_by_another_key(genuine)
    kid = genuine["signature"].partition(".")[0]
    return {**forged, "signature": f"{kid}.{forged['signature'].partition('.')[2]}"}


def changed_on_the_way(genuine: dict[str, Any]) -> dict[str, Any]:
    return {**genuine, "data": changed(genuine["data"], title="Forged")}


def under_another_id(genuine: dict[str, Any]) -> dict[str, Any]:
    return {**genuine, "id": uuid.uuid4().hex}


def of_another_type(genuine: dict[str, Any]) -> dict[str, Any]:
    return {**genuine, "type": "review_deleted"}


@pytest.mark.parametrize("put", [publish, put_into_the_stream])
@pytest.mark.parametrize(
    "forge",
    [
        unsigned,
        with_anothers_signature,
        signed_by_another_key,
        under_the_key_of_movies,
        changed_on_the_way,
        under_another_id,
        of_another_type,
        *[
            lambda genuine, sent=sent: {**unsigned(genuine), "signature": sent}
            for sent in ("", ".", "x", "x.y", "é.é", 7, None, ["x"], "a" * 5000)
        ],
    ],
)
def test_a_review_that_movies_has_not_announced_is_told_to_nobody(
    full_deployment: FullDeployment, user: Account, forge: Forge, put: Callable[..., None]
) -> None:
    genuine = genuine_review(full_deployment, user)
    room = str(genuine["data"]["movie"]["id"])
    forged = forge(genuine)
    with ExitStack() as stack:
        sockets = [stack.enter_context(listen(url, room)) for url in full_deployment.notifiers]
        start = sockets[0].call("join_notification", user_id="visitor", room_id=room)["last_event_id"]
        if put is publish:
            publish(full_deployment, "movies", forged["type"], forged)
        else:
            put_into_the_stream(full_deployment, forged)
        other = sign_up(full_deployment.gateways[0])
        marker = other.api.create_review(int(room), title="Genuine")
        for socket in sockets:
            heard = socket.next("new_review")
            assert (heard["review"]["id"], heard["verified"]) == (marker, True)
            assert socket.heard["review_deleted"].empty()
        for url in full_deployment.notifiers:
            again = stack.enter_context(Listener(url))
            assert join(again, "visitor", room, start)["recovered"] is True
            assert again.next("new_review")["review"]["id"] == marker


@pytest.mark.parametrize("verified", [True, False, 1, "true", None])
def test_no_other_notifier_can_call_a_review_verified(
    full_deployment: FullDeployment, user: Account, verified: object
) -> None:
    genuine = genuine_review(full_deployment, user)
    room = str(genuine["data"]["movie"]["id"])
    payload = {"message": "Forged", "room_id": room, "user_id": user.id, "verified": verified}
    told = {"instance": uuid.uuid4().hex, "room": room, "event": "new_review", "payload": payload}
    more = {**payload, "review": genuine["data"]["review"], "event_id": "x" * 200}
    with listen(full_deployment.notifiers[0], room) as socket:
        announce(full_deployment, "notifications", "room_told", told)
        announce(full_deployment, "notifications", "room_told", {**told, "payload": more})
        for event in ("review_created", "closed", "disconnect", "review_deleted"):
            announce(full_deployment, "notifications", "room_told", {**told, "event": event})
        sign_up(full_deployment.gateways[0]).api.create_review(int(room), title="Genuine")
        heard = socket.next("new_review")
        while "review" not in heard:
            assert heard == {**payload, "verified": False}, "on a client's word alone"
            heard = socket.next("new_review")
        assert heard["review"]["title"] == "Genuine"
        assert all(socket.heard[name].empty() for name in ("closed", "disconnect", "review_deleted"))


def test_nobody_writes_who_has_no_account(full_deployment: FullDeployment, user: Account) -> None:
    nobody = {"id": NOBODY, "username": "nobody"}
    movie = user.api.create_movie()
    review = user.api.create_review(movie)
    fields = {"title": "By nobody", "rating": 1}
    for method, args in (
        ("movies.create_review", (movie, fields)),
        ("movies.create", ({"title": "By nobody"},)),
        ("movies.like", (review,)),
    ):
        with pytest.raises(Unauthenticated):
            full_deployment.rpc(method, *args, nobody)
    assert user.api.get(f"/api/movies/{movie}").json()["review_count"] == 1
    assert user.api.get(f"/api/reviews/{review}").json()["likes"] == 0


def test_nobody_is_staff_whom_auth_does_not_call_so(full_deployment: FullDeployment, user: Account) -> None:
    other = sign_up(full_deployment.gateways[0])
    movie = user.api.create_movie()
    review = user.api.create_review(movie)
    claims = {**who(other), "role": "admin"}
    with pytest.raises(Forbidden):
        full_deployment.rpc("movies.delete", movie, claims)
    with pytest.raises(Forbidden):
        full_deployment.rpc("movies.update", movie, {"genre": "Stolen"}, claims)
    with pytest.raises(Forbidden):
        full_deployment.rpc("movies.delete_review", review, claims)
    with pytest.raises(Unauthenticated):
        full_deployment.rpc("movies.delete", movie, {**claims, "id": NOBODY})
    full_deployment.set_role(other.username, "moderator")
    full_deployment.rpc("movies.delete_review", review, {**claims, "role": "moderator"})


def test_who_is_deleted_writes_no_more_by_a_token_that_somebody_still_believes(
    full_deployment: FullDeployment, user: Account
) -> None:
    movie = user.api.create_movie()
    review = user.api.create_review(movie)
    assert user.delete().status_code == 200
    wait_until(
        lambda: Api(full_deployment.gateways[0]).get(f"/api/reviews/{review}").json()["user_id"] is None,
        EFFECT_SECONDS,
        "its reviews are unsigned",
    )
    with pytest.raises(Unauthenticated):
        full_deployment.rpc("movies.create_review", movie, {"title": "A ghost", "rating": 1}, who(user))


def test_what_an_older_release_left_unsigned_in_the_outbox_is_told(
    full_deployment: FullDeployment, user: Account
) -> None:
    genuine = genuine_review(full_deployment, user)
    room = str(genuine["data"]["movie"]["id"])
    left = unsigned({**genuine, "data": changed(genuine["data"], title="Left over")})
    with listen(full_deployment.notifiers[0], room) as socket:
        with connect(full_deployment.databases.movies) as connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO outbox (source, type, envelope) VALUES ('movies', 'review_created', %s)",
                (json.dumps(left),),
            )
        connection.close()
        heard = socket.next("new_review")
    assert (heard["event_id"], heard["review"]["title"], heard["verified"]) == (left["id"], "Left over", True)
