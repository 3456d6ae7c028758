"""What rooms refuse: silence to those without a token, other people's names, bad fields, bad tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.clients import Account, Listener, sign_in
from tests.contract.expect import EFFECT_SECONDS, INTERNALS
from tests.contract.listeners import TRANSPORTS, join, refusal
from tests.platforms import Platform
from tests.processes import wait_until


@pytest.fixture(scope="module")
def talker(notifier: str, bob: Account, shared_movie: int) -> Iterator[Listener]:
    """Bob's connection, in the room of `shared_movie`, for cases that are all refused."""
    with Listener(notifier, bob.token) as listener:
        join(listener, bob.id, str(shared_movie))
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
def test_a_user_id_must_be_the_tokens(talker: Listener, bob: Account, shared_movie: int, user: str) -> None:
    assert_refused(join(talker, user.format(id=bob.id), str(shared_movie)), "forbidden")


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
    talker: Listener, bob: Account, shared_movie: int, event: str, fields: dict[str, Any]
) -> None:
    sent = {"user_id": bob.id, "room_id": str(shared_movie), **EVENTS[event], **fields}
    assert_refused(talker.call(event, **sent))


@pytest.mark.parametrize(
    "text", [None, 5, True, [], {}, "", "   ", "x" * 10_000, "a\x00b"], ids=lambda text: ascii(text)[:20]
)
@pytest.mark.parametrize(("event", "field"), [("message", "message"), ("new_review", "review_title")])
def test_what_is_said_must_be_a_text(
    talker: Listener, bob: Account, shared_movie: int, event: str, field: str, text: Any
) -> None:
    assert_refused(talker.call(event, user_id=bob.id, room_id=str(shared_movie), **{field: text}))


@pytest.mark.parametrize("last", [5, True, [], {}, "", "x" * 101], ids=lambda last: ascii(last)[:20])
def test_a_position_must_be_a_text(talker: Listener, bob: Account, shared_movie: int, last: Any) -> None:
    answer = join(talker, bob.id, str(shared_movie), last)
    assert_refused(answer, "invalid")
    assert "last_event_id" in answer["error"]


@pytest.mark.parametrize("data", [None, 5, "42", [], [{}], True], ids=str)
@pytest.mark.parametrize("event", [*EVENTS, "room_presence", "unknown_event"])
def test_an_event_must_carry_one_object(talker: Listener, event: str, data: Any) -> None:
    assert_refused(talker.client.call(event, data, timeout=10))


def assert_told_why(refused: Any) -> None:
    """Assert that a client was refused with one sentence."""
    assert set(refused) == {"message"}
    assert refused["message"]
    assert not INTERNALS.search(refused["message"])


BAD_TOKENS = ["garbage", "a.b.c", "{0}x", "x{0}"]


@pytest.mark.parametrize("token", BAD_TOKENS)
def test_a_bad_token_is_refused_at_connect(notifier: str, bob: Account, token: str) -> None:
    assert_told_why(refusal(notifier, {"token": token.format(bob.token)}))


@pytest.mark.parametrize("token", BAD_TOKENS)
def test_a_bad_token_is_refused_at_connect_by_polling(notifier: str, bob: Account, token: str) -> None:
    # In Engine.IO's own words (0 open, 40 connect, 44 refused): a stock client takes 30 s to close.
    with requests.Session() as session:
        address = f"{notifier}/socket.io/?EIO=4&transport=polling"
        opened = json.loads(session.get(address, timeout=10).text.removeprefix("0"))
        address += f"&sid={opened['sid']}"
        session.post(address, data="40" + json.dumps({"token": token.format(bob.token)}), timeout=10)
        answer = session.get(address, timeout=10).text
    assert answer.startswith("44")
    assert_told_why(json.loads(answer.removeprefix("44")))


@pytest.mark.parametrize("auth", ["token", {"token": 5}, {"token": ["x"]}, {"token": {}}], ids=str)
def test_what_is_no_token_is_refused_at_connect(notifier: str, auth: Any) -> None:
    assert_told_why(refusal(notifier, auth))


def test_a_revoked_token_is_refused_at_connect_to_every_notifier(platform: Platform, alice: Account) -> None:
    session = sign_in(platform.gateways[0], alice.email)
    auth = {"token": session.token}
    assert [refusal(notifier, auth) for notifier in platform.notifiers] == [None for _ in platform.notifiers]
    session.api.post("/api/auth/logout")
    for notifier in platform.notifiers:
        wait_until(
            lambda notifier=notifier: refusal(notifier, auth) is not None,
            EFFECT_SECONDS,
            f"{notifier} refuses it",
        )
        assert_told_why(refusal(notifier, auth))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_socket_is_closed_with_a_reason_when_its_token_is_revoked(
    platform: Platform, alice: Account, transport: str
) -> None:
    session = sign_in(platform.gateways[0], alice.email)
    with TRANSPORTS[transport](platform.notifiers[-1], session.token) as listener:
        session.api.post("/api/auth/logout")
        assert_refused(listener.next("closed"), "token_revoked")
        assert listener.next("disconnect") == listener.client.reason.SERVER_DISCONNECT


def test_only_the_socket_of_the_revoked_token_is_closed(platform: Platform, alice: Account) -> None:
    notifier = platform.notifiers[0]
    session = sign_in(platform.gateways[0], alice.email)
    with Listener(notifier, session.token) as ended, Listener(notifier, alice.token) as other:
        session.api.post("/api/auth/logout")
        ended.next("closed")
        join(other, alice.id, f"user:{alice.id}")
        assert other.heard["closed"].empty()


@pytest.mark.parametrize("event", ["connect", "disconnect"])
def test_the_names_of_what_socketio_does_itself_are_no_events(
    nobodys: Listener, event: str, movie: int
) -> None:
    nobodys.client.call(event, ("a", "b"), timeout=10)
    assert "error" not in join(nobodys, "visitor", str(movie)), "it is connected as before"
