"""Rooms: join, leave, speak; what is told to whom, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from socketio.exceptions import ConnectionError as Refused

from tests.clients import Account, Listener, sign_in
from tests.contract.expect import EFFECT_SECONDS, INTERNALS, unique
from tests.platforms import Platform
from tests.processes import wait_until


@pytest.fixture(scope="module")
def notifier(platform: Platform) -> str:
    return platform.notifiers[0]


@pytest.fixture
def bobs(notifier: str, bob: Account) -> Iterator[Listener]:
    """Bob's connection."""
    with Listener(notifier, bob.token) as listener:
        yield listener


@pytest.fixture
def carols(notifier: str, carol: Account) -> Iterator[Listener]:
    """Carol's connection."""
    with Listener(notifier, carol.token) as listener:
        yield listener


@pytest.fixture
def nobodys(notifier: str) -> Iterator[Listener]:
    """A connection without a token."""
    with Listener(notifier) as listener:
        yield listener


def assert_refused(answer: Any, code: str | None = None) -> None:
    assert set(answer) == {"error", "code"}
    assert isinstance(answer["error"], str)
    assert answer["error"]
    assert isinstance(answer["code"], str)
    assert answer["code"]
    assert not INTERNALS.search(answer["error"])
    if code is not None:
        assert answer["code"] == code


def join(listener: Listener, user: object, room: object) -> Any:
    return listener.call("join_notification", user_id=user, room_id=room)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_join_is_acknowledged_and_told_to_the_room(
    notifier: str, bob: Account, movie: int, transport: str
) -> None:
    with Listener(notifier, bob.token, transport) as listener:
        answer = join(listener, bob.id, str(movie))
        text = f"User {bob.id} has joined the room {movie}"
        assert answer["message"] == text
        assert answer["recovered"] is False
        assert "last_event_id" in answer
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


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_listener_without_a_token_may_join(notifier: str, movie: int, transport: str) -> None:
    with Listener(notifier, None, transport) as listener:
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


SPEECH = {"message": {"message": "Hello"}, "new_review": {"review_title": "Hello"}}


@pytest.mark.parametrize("event", SPEECH)
def test_a_listener_without_a_token_may_not_speak(
    nobodys: Listener, bobs: Listener, bob: Account, movie: int, event: str
) -> None:
    join(bobs, bob.id, str(movie))
    join(nobodys, bob.id, str(movie))
    assert_refused(nobodys.call(event, user_id=bob.id, room_id=str(movie), **SPEECH[event]))
    marker = {"message": {"message": "Marker"}, "new_review": {"review_title": "Marker"}}[event]
    said = bobs.call(event, user_id=bob.id, room_id=str(movie), **marker)["message"]
    if event == "message":
        bobs.next("message")  # Bob's own joining
    assert bobs.heard_nothing_before(event, said)


@pytest.mark.parametrize("event", SPEECH)
def test_none_may_speak_in_a_room_without_joining_it(
    bobs: Listener, bob: Account, movie: int, event: str
) -> None:
    assert_refused(bobs.call(event, user_id=bob.id, room_id=str(movie), **SPEECH[event]))


EVENTS: dict[str, dict[str, str]] = {"join_notification": {}, "leave_notification": {}, **SPEECH}


@pytest.mark.parametrize("event", EVENTS)
def test_none_may_act_as_another(
    bobs: Listener, bob: Account, carol: Account, movie: int, event: str
) -> None:
    join(bobs, bob.id, str(movie))
    answer = bobs.call(event, user_id=carol.id, room_id=str(movie), **EVENTS[event])
    assert_refused(answer, "forbidden")
    bobs.call("message", user_id=bob.id, room_id=str(movie), message="Marker")
    assert bobs.next("message")["message"] == f"User {bob.id} has joined the room {movie}"
    assert bobs.heard_nothing_before("message", "Marker")


@pytest.mark.parametrize("user", ["visitor", "0{id}", "{id}.0", " {id}", "-{id}", "{id}; --"])
def test_a_user_id_must_be_the_tokens(bobs: Listener, bob: Account, movie: int, user: str) -> None:
    assert_refused(join(bobs, user.format(id=bob.id), str(movie)), "forbidden")


BAD_FIELDS: list[dict[str, Any]] = [
    *({"room_id": value} for value in [None, True, 1.5, [], {}, "", "x" * 5000, "a\x00b"]),
    *(
        {"room_id": value}
        for value in ["lobby", "0", "-1", "9" * 30, "genre:", "user:", "user:x", "user:0", "4 2"]
    ),
    *({"user_id": value} for value in [None, True, [], {}, "", "x" * 5000]),
]


@pytest.mark.parametrize(
    "fields", BAD_FIELDS, ids=lambda fields: str(fields)[:30].encode("unicode_escape").decode()
)
@pytest.mark.parametrize("event", EVENTS)
def test_a_bad_field_is_refused(
    bobs: Listener, bob: Account, movie: int, event: str, fields: dict[str, Any]
) -> None:
    assert_refused(bobs.call(event, **{"user_id": bob.id, "room_id": str(movie), **EVENTS[event], **fields}))


@pytest.mark.parametrize(
    "text", [None, 5, True, [], {}, "", "   ", "x" * 20_000, "a\x00b"], ids=lambda text: ascii(text)[:20]
)
@pytest.mark.parametrize(("event", "field"), [("message", "message"), ("new_review", "review_title")])
def test_what_is_said_must_be_a_text(
    bobs: Listener, bob: Account, movie: int, event: str, field: str, text: Any
) -> None:
    join(bobs, bob.id, str(movie))
    assert_refused(bobs.call(event, user_id=bob.id, room_id=str(movie), **{field: text}))


@pytest.mark.parametrize("data", [None, 5, "42", [], [{}], True], ids=str)
@pytest.mark.parametrize("event", [*EVENTS, "unknown_event"])
def test_an_event_must_carry_one_object(bobs: Listener, event: str, data: Any) -> None:
    assert_refused(bobs.client.call(event, data, timeout=10))


@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize("token", ["garbage", "a.b.c", "{0}x", "x{0}"])
def test_a_bad_token_is_refused_at_connect(notifier: str, bob: Account, token: str, transport: str) -> None:
    with pytest.raises(Refused):
        Listener(notifier, token.format(bob.token), transport)


def test_a_revoked_token_is_refused_at_connect_to_every_notifier(platform: Platform, alice: Account) -> None:
    session = sign_in(platform.gateways[0], alice.email)
    for notifier in platform.notifiers:
        Listener(notifier, session.token).close()
    session.api.post("/api/auth/logout")

    def is_refused(notifier: str) -> bool:
        try:
            Listener(notifier, session.token).close()
        except Refused:
            return True
        return False

    for notifier in platform.notifiers:
        wait_until(lambda notifier=notifier: is_refused(notifier), EFFECT_SECONDS, f"{notifier} refuses it")


def test_a_token_revoked_meanwhile_may_speak_no_more(platform: Platform, alice: Account, movie: int) -> None:
    session = sign_in(platform.gateways[0], alice.email)
    with Listener(platform.notifiers[-1], session.token) as listener:
        join(listener, session.id, str(movie))
        session.api.post("/api/auth/logout")

        def speak() -> Any:
            return listener.call("message", user_id=session.id, room_id=str(movie), message="Still here?")

        wait_until(lambda: "error" in speak(), EFFECT_SECONDS, "the notifier knows")
        assert_refused(speak())
