"""Rooms: join, leave, speak; and what is told to whom."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import Account, Listener
from tests.contract.expect import unique
from tests.contract.listeners import TRANSPORTS, join
from tests.platforms import Platform


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_join_is_acknowledged_and_told_to_the_room(
    notifier: str, bob: Account, movie: int, transport: str
) -> None:
    with TRANSPORTS[transport](notifier, bob.token) as listener:
        answer = join(listener, bob.id, str(movie))
        text = f"User {bob.id} has joined the room {movie}"
        assert answer["message"] == text
        assert answer["recovered"] is False
        assert isinstance(answer["last_event_id"], str)
        assert listener.next("message")["message"] == text


def test_those_in_the_room_are_told_who_joins(
    bobs: Listener, carols: Listener, bob: Account, carol: Account, movie: int
) -> None:
    join(bobs, bob.id, str(movie))
    assert bobs.next("message")["message"] == f"User {bob.id} has joined the room {movie}"
    join(carols, carol.id, str(movie))
    assert bobs.next("message")["message"] == f"User {carol.id} has joined the room {movie}"


def test_leave_is_acknowledged_and_told_to_those_who_remain(
    bobs: Listener, carols: Listener, bob: Account, carol: Account, movie: int
) -> None:
    join(bobs, bob.id, str(movie))
    join(carols, carol.id, str(movie))
    answer = carols.call("leave_notification", user_id=carol.id, room_id=str(movie))
    text = f"User {carol.id} has left the room {movie}"
    assert answer["message"] == text
    said = [bobs.next("message")["message"] for _ in range(3)]
    assert said[-1] == text


def test_who_left_hears_nothing_more(
    bobs: Listener, carols: Listener, bob: Account, carol: Account, movie: int
) -> None:
    for listener, person in ((bobs, bob), (carols, carol)):
        join(listener, person.id, str(movie))
    carols.call("leave_notification", user_id=carol.id, room_id=str(movie))
    bobs.call("message", user_id=bob.id, room_id=str(movie), message="Has Carol gone?")
    join(carols, carol.id, str(movie))
    assert carols.next("message")["message"] == f"User {carol.id} has joined the room {movie}"
    assert carols.heard_nothing_before("message", f"User {carol.id} has joined the room {movie}")


@pytest.mark.parametrize("spell", [int, str], ids=["numbers", "texts"])
def test_ids_are_numbers_or_texts(bobs: Listener, bob: Account, movie: int, spell: Any) -> None:
    answer = join(bobs, spell(bob.id), spell(movie))
    assert answer["message"] == f"User {bob.id} has joined the room {movie}"
    bobs.next("message")
    answer = bobs.call("message", user_id=bob.id, room_id=str(movie), message="Here")
    assert answer["message"] == "Here"
    assert bobs.next("message")["message"] == "Here"


@pytest.mark.parametrize("room", ["all", "genre:drama", "genre:Science Fiction", "user:{id}", "{movie}"])
def test_every_kind_of_room_can_be_joined(bobs: Listener, bob: Account, movie: int, room: str) -> None:
    name = room.format(id=bob.id, movie=movie)
    assert join(bobs, bob.id, name)["message"] == f"User {bob.id} has joined the room {name}"
    assert bobs.next("message")["message"] == f"User {bob.id} has joined the room {name}"


def test_a_message_is_acknowledged_and_told_to_the_room(
    bobs: Listener, carols: Listener, bob: Account, carol: Account, movie: int
) -> None:
    for listener, person in ((bobs, bob), (carols, carol)):
        join(listener, person.id, str(movie))
    said = unique("I liked it: ")
    answer = bobs.call("message", user_id=bob.id, room_id=str(movie), message=said)
    assert answer["message"] == said
    for listener, joins in ((bobs, 2), (carols, 1)):
        heard = [listener.next("message")["message"] for _ in range(joins + 1)]
        assert heard[-1] == said


def test_a_message_is_told_to_its_room_alone(
    bobs: Listener, carols: Listener, bob: Account, carol: Account, alice: Account, movie: int
) -> None:
    elsewhere = alice.api.create_movie()
    join(carols, carol.id, str(elsewhere))
    join(bobs, bob.id, str(movie))
    bobs.call("message", user_id=bob.id, room_id=str(movie), message="Anyone?")
    carols.call("message", user_id=carol.id, room_id=str(elsewhere), message="Marker")
    assert carols.next("message")["message"] == f"User {carol.id} has joined the room {elsewhere}"
    assert carols.heard_nothing_before("message", "Marker")


def test_a_clients_own_new_review_is_told_as_not_verified(
    bobs: Listener, carols: Listener, bob: Account, carol: Account, movie: int
) -> None:
    for listener, person in ((bobs, bob), (carols, carol)):
        join(listener, person.id, str(movie))
    answer = bobs.call("new_review", user_id=bob.id, room_id=str(movie), review_title="A classic")
    text = f"User {bob.id} added a new review: A classic"
    assert answer["message"] == text
    for listener in (bobs, carols):
        heard = listener.next("new_review")
        assert (heard["message"], heard["verified"]) == (text, False)


def test_what_is_said_at_one_notifier_is_heard_at_every_other(
    platform: Platform, bob: Account, carol: Account, movie: int
) -> None:
    said = unique()
    first, last = platform.notifiers[0], platform.notifiers[-1]
    with Listener(first, bob.token) as bobs, Listener(last, carol.token) as carols:
        join(carols, carol.id, str(movie))
        join(bobs, bob.id, str(movie))
        bobs.call("message", user_id=bob.id, room_id=str(movie), message=said)
        bobs.call("new_review", user_id=bob.id, room_id=str(movie), review_title=said)
        assert carols.next("new_review")["message"] == f"User {bob.id} added a new review: {said}"
        heard = [carols.next("message")["message"] for _ in range(3)]
    assert heard == [
        f"User {carol.id} has joined the room {movie}",
        f"User {bob.id} has joined the room {movie}",
        said,
    ]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_listener_without_a_token_may_join(notifier: str, movie: int, transport: str) -> None:
    with TRANSPORTS[transport](notifier) as listener:
        answer = join(listener, "visitor", str(movie))
    assert answer["message"] == f"User visitor has joined the room {movie}"
    assert answer["recovered"] is False


def test_a_listener_without_a_token_hears_the_room(
    nobodys: Listener, bobs: Listener, bob: Account, movie: int
) -> None:
    join(nobodys, "visitor", str(movie))
    join(bobs, bob.id, str(movie))
    assert nobodys.heard_nothing_before("message", f"User {bob.id} has joined the room {movie}")


def test_the_room_is_told_nothing_of_a_listener_without_a_token(
    nobodys: Listener, bobs: Listener, bob: Account, carol: Account, movie: int
) -> None:
    join(bobs, bob.id, str(movie))
    join(nobodys, carol.id, str(movie))
    nobodys.call("leave_notification", user_id=carol.id, room_id=str(movie))
    bobs.call("message", user_id=bob.id, room_id=str(movie), message="Marker")
    assert bobs.next("message")["message"] == f"User {bob.id} has joined the room {movie}"
    assert bobs.heard_nothing_before("message", "Marker")
