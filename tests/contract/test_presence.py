"""Who is in a room: `room_presence`, over all notifiers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import Account, Listener, sign_in
from tests.contract.expect import EFFECT_SECONDS
from tests.contract.listeners import TRANSPORTS, join
from tests.platforms import Platform
from tests.processes import wait_until


def presence(listener: Listener, room: object) -> Any:
    return listener.call("room_presence", room_id=room)


def wait_for(listener: Listener, room: str, listeners: int, users: list[str]) -> None:
    """Return once the answer is this one: it may be a second old."""
    expected = {"room_id": room, "listeners": listeners, "users": sorted(users), "complete": True}
    wait_until(lambda: presence(listener, room) == expected, EFFECT_SECONDS, f"the answer is {expected}")


def test_an_empty_room_has_nobody(nobodys: Listener, movie: int) -> None:
    wait_for(nobodys, str(movie), 0, [])


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_listeners_are_counted_and_those_signed_in_are_named(
    notifier: str, bobs: Listener, bob: Account, nobodys: Listener, movie: int, transport: str
) -> None:
    join(bobs, bob.id, str(movie))
    with TRANSPORTS[transport](notifier) as visitor:
        join(visitor, "Alice", str(movie))
        wait_for(nobodys, str(movie), 2, [bob.username])
    wait_for(nobodys, str(movie), 1, [bob.username])


def test_they_are_counted_at_every_notifier(
    platform: Platform, bob: Account, carol: Account, movie: int
) -> None:
    first, last = platform.notifiers[0], platform.notifiers[-1]
    room = str(movie)
    with Listener(first, bob.token) as bobs, Listener(last, carol.token) as carols:
        join(bobs, bob.id, room)
        join(carols, carol.id, room)
        for listener in (bobs, carols):
            wait_for(listener, room, 2, [bob.username, carol.username])
        bobs.call("leave_notification", user_id=bob.id, room_id=room)
        for listener in (bobs, carols):
            wait_for(listener, room, 1, [carol.username])


def test_someone_with_two_sockets_is_named_once(
    notifier: str, bobs: Listener, bob: Account, movie: int
) -> None:
    with Listener(notifier, bob.token) as again:
        for listener in (bobs, again):
            join(listener, bob.id, str(movie))
        wait_for(bobs, str(movie), 2, [bob.username])


def test_whose_token_was_revoked_is_there_no_more(
    platform: Platform, notifier: str, nobodys: Listener, alice: Account, movie: int
) -> None:
    session = sign_in(platform.gateways[0], alice.email)
    with Listener(notifier, session.token) as listener:
        join(listener, session.id, str(movie))
        wait_for(nobodys, str(movie), 1, [alice.username])
        session.api.post("/api/auth/logout")
        listener.next("disconnect")
        wait_for(nobodys, str(movie), 0, [])


@pytest.mark.parametrize("room", ["42", 42, " 42", "all", "genre: Drama", "user:7"])
def test_a_room_is_named_as_when_joining(nobodys: Listener, room: object) -> None:
    assert presence(nobodys, room)["room_id"] == str(room).replace(" ", "").lower()


@pytest.mark.parametrize(
    ("room", "code"),
    [
        *((room, "invalid") for room in (None, True, 1.5, [], {}, "", "x" * 500, "a\x00b")),
        *((room, "unknown_room") for room in ("lobby", "0", "-1", "9" * 30, "genre:", "user:x")),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_bad_room_is_refused(nobodys: Listener, room: object, code: str) -> None:
    answer = presence(nobodys, room)
    assert set(answer) == {"error", "code"}
    assert answer["code"] == code


def test_a_room_is_needed(nobodys: Listener) -> None:
    assert nobodys.call("room_presence")["code"] == "invalid"
