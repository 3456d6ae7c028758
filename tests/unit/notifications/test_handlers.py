"""Each use case with hand-written rooms and tokens."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from broker.errors import ServiceUnavailable, Unauthenticated
from broker.events import Envelope
from broker.tokens import Identity
from notifications import handlers
from notifications.domain import Refusal
from notifications.handlers import Client, Gone
from notifications.history import History

ANNA = Identity(user_id=7, username="anna", session="s7", expires_at=4_000_000_000)
UseCase = Callable[..., Coroutine[Any, Any, dict[str, Any]]]
JOIN = partial(handlers.join, past=History(3, seconds=3600, most_bytes=10**6), most_rooms=3)


async def _nothing() -> None:
    pass


class FakeRooms:
    """Keeps what was said, and to whom of those who were in the room."""

    def __init__(self) -> None:
        self.members: dict[str, set[str]] = {}
        self.said: list[tuple[str, str, dict[str, Any], set[str]]] = []
        self.said_everywhere: list[str] = []
        self.sent: list[tuple[str, str, str]] = []
        self.dropped: list[str] = []
        self.at_each_send: Callable[[], Coroutine[Any, Any, None]] = _nothing

    async def enter(self, sid: str, room: str) -> None:
        self.members.setdefault(room, set()).add(sid)

    async def leave(self, sid: str, room: str) -> None:
        self.members[room].discard(sid)

    async def send(self, sid: str, event: str, payload: Mapping[str, Any]) -> None:
        self.sent.append((sid, event, payload["event_id"]))
        await self.at_each_send()

    async def drop(self, sid: str) -> None:
        self.dropped.append(sid)

    async def tell(self, room: str, event: str, payload: Mapping[str, Any]) -> None:
        self.said.append((room, event, dict(payload), set(self.members.get(room, ()))))

    async def tell_everywhere(self, room: str, event: str, payload: Mapping[str, Any]) -> None:
        await self.tell(room, event, payload)
        self.said_everywhere.append(event)


class FakeTokens:
    """Knows Anna's token until her session is revoked."""

    def __init__(self, loaded: bool = True) -> None:
        self.loaded = loaded
        self.revoked: dict[str, int] = {}
        self.heard: list[int | str] = []

    async def identify(self, token: str) -> Identity:
        if not self.loaded:
            raise ServiceUnavailable("Sign-in cannot be checked yet; try again soon")
        if token != "annas":
            raise Unauthenticated("The access token is not valid")
        return ANNA

    def is_live(self, identity: Identity) -> bool:
        return identity.session not in self.revoked

    def heard_of_session(self, session: str) -> None:
        self.heard.append(session)

    def heard_of_user(self, user_id: int) -> None:
        self.heard.append(user_id)


@pytest.fixture
def rooms() -> FakeRooms:
    return FakeRooms()


@pytest.fixture
def past() -> History:
    """Three events of a room are kept."""
    return History(3, seconds=3600, most_bytes=10**6)


@pytest.fixture
def join(past: History) -> UseCase:
    return partial(handlers.join, past=past, most_rooms=3)


@pytest.fixture
def tokens() -> FakeTokens:
    return FakeTokens()


@pytest.fixture
def anna() -> Client:
    return Client("a", ANNA)


@pytest.fixture
def listener() -> Client:
    return Client("l", None)


def request(**changes: Any) -> dict[str, Any]:
    return {"user_id": 7, "room_id": "42", "message": "Hello", "review_title": "Great"} | changes


def refusal(awaitable: Coroutine[Any, Any, Any]) -> str:
    with pytest.raises(Refusal) as caught:
        asyncio.run(awaitable)
    assert caught.value.sentence
    return caught.value.code


@pytest.mark.parametrize("auth", [None, {}, {"token": None}, {"colour": "red"}])
def test_without_a_token_a_client_is_a_listener(auth: object, tokens: FakeTokens) -> None:
    assert asyncio.run(handlers.connect("a", auth, tokens)) == Client("a", None)


def test_with_a_token_a_client_is_its_user(tokens: FakeTokens) -> None:
    assert asyncio.run(handlers.connect("a", {"token": "annas"}, tokens)) == Client("a", ANNA)


@pytest.mark.parametrize("auth", ["annas", 5, ["annas"], {"token": "forged"}, {"token": ""}, {"token": 5}])
def test_a_bad_token_is_refused(auth: object, tokens: FakeTokens) -> None:
    with pytest.raises(Unauthenticated):
        asyncio.run(handlers.connect("a", auth, tokens))


def test_while_tokens_cannot_be_checked_a_token_is_refused_and_a_listener_is_not() -> None:
    tokens = FakeTokens(loaded=False)
    with pytest.raises(ServiceUnavailable, match="try again"):
        asyncio.run(handlers.connect("a", {"token": "annas"}, tokens))
    assert asyncio.run(handlers.connect("a", None, tokens)).identity is None


def test_join_answers_and_tells_the_room_its_newcomer_included(
    join: UseCase, anna: Client, tokens: FakeTokens, rooms: FakeRooms, past: History
) -> None:
    text = "User 7 has joined the room genre:Noir"
    answer = asyncio.run(join(anna, request(room_id="genre:Noir"), tokens, rooms))
    assert answer == {"message": text, "recovered": False, "room_id": "genre:noir"} | {
        "last_event_id": past.last("genre:noir")
    }
    payload = {"message": text, "room_id": "genre:noir", "user_id": 7}
    assert rooms.said == [("genre:noir", "message", payload, {"a"})]


def test_leave_answers_and_tells_those_who_remain(
    join: UseCase, anna: Client, tokens: FakeTokens, rooms: FakeRooms
) -> None:
    rooms.members["42"] = {"b"}
    asyncio.run(join(anna, request(), tokens, rooms))
    answer = asyncio.run(handlers.leave(anna, request(), tokens, rooms))
    assert answer["message"] == "User 7 has left the room 42"
    assert rooms.said[-1] == ("42", "message", answer | {"user_id": 7}, {"b"})
    assert anna.rooms == set()


def test_leaving_a_room_that_one_is_not_in_tells_nobody(
    anna: Client, tokens: FakeTokens, rooms: FakeRooms
) -> None:
    answer = asyncio.run(handlers.leave(anna, request(), tokens, rooms))
    assert answer["message"] == "User 7 has left the room 42"
    assert rooms.said == []


def test_a_listener_comes_and_goes_unheard(
    join: UseCase, listener: Client, tokens: FakeTokens, rooms: FakeRooms
) -> None:
    joined = asyncio.run(join(listener, request(user_id="me"), tokens, rooms))
    assert joined["message"] == "User me has joined the room 42"
    assert rooms.members == {"42": {"l"}}
    left = asyncio.run(handlers.leave(listener, request(user_id="me"), tokens, rooms))
    assert left["message"] == "User me has left the room 42"
    assert rooms.members == {"42": set()}
    assert rooms.said == []


@pytest.mark.parametrize("user_id", [7, "7"])
def test_a_message_reaches_the_room(
    user_id: int | str, join: UseCase, anna: Client, tokens: FakeTokens, rooms: FakeRooms
) -> None:
    asyncio.run(join(anna, request(), tokens, rooms))
    answer = asyncio.run(handlers.send_message(anna, request(user_id=user_id, message=" Hi "), tokens, rooms))
    assert answer["message"] == "Hi"
    assert rooms.said[-1] == ("42", "message", {"message": "Hi", "room_id": "42", "user_id": 7}, {"a"})


def test_a_clients_own_announcement_is_not_verified(
    join: UseCase, anna: Client, tokens: FakeTokens, rooms: FakeRooms
) -> None:
    asyncio.run(join(anna, request(), tokens, rooms))
    answer = asyncio.run(handlers.announce_review(anna, request(), tokens, rooms))
    text = "User 7 added a new review: Great"
    assert answer["message"] == text
    payload = {"message": text, "verified": False, "room_id": "42", "user_id": 7}
    assert rooms.said[-1] == ("42", "new_review", payload, {"a"})


@pytest.mark.parametrize("use_case", [handlers.send_message, handlers.announce_review])
def test_who_may_not_speak(use_case: UseCase, tokens: FakeTokens, rooms: FakeRooms) -> None:
    listener = Client("l", None, {"42"})
    assert refusal(use_case(listener, request(), tokens, rooms)) == "sign_in_required"
    assert refusal(use_case(Client("a", ANNA, {"43"}), request(), tokens, rooms)) == "not_in_room"
    assert rooms.said == []


@pytest.mark.parametrize("use_case", [JOIN, handlers.leave, handlers.send_message, handlers.announce_review])
def test_what_every_event_refuses(use_case: UseCase, tokens: FakeTokens, rooms: FakeRooms) -> None:
    anna = Client("a", ANNA, {"42"})
    assert refusal(use_case(anna, request(user_id=8), tokens, rooms)) == "forbidden"
    assert refusal(use_case(anna, request(user_id="07"), tokens, rooms)) == "forbidden"
    assert refusal(use_case(anna, request(room_id="kitchen"), tokens, rooms)) == "unknown_room"
    assert refusal(use_case(anna, None, tokens, rooms)) == "invalid"
    tokens.revoked["s7"] = ANNA.expires_at
    assert refusal(use_case(anna, request(), tokens, rooms)) == "sign_in_required"
    assert rooms.said == []
    assert anna.rooms == {"42"}


@pytest.mark.parametrize("length", [0, 2001])
def test_a_message_has_a_length(length: int, anna: Client, tokens: FakeTokens, rooms: FakeRooms) -> None:
    anna.rooms.add("42")
    assert refusal(handlers.send_message(anna, request(message="x" * length), tokens, rooms)) == "invalid"


@pytest.mark.parametrize("length", [0, 201])
def test_a_review_title_has_a_length(length: int, anna: Client, tokens: FakeTokens, rooms: FakeRooms) -> None:
    anna.rooms.add("42")
    too_long = request(review_title="x" * length)
    assert refusal(handlers.announce_review(anna, too_long, tokens, rooms)) == "invalid"


def envelope(type: str, data: dict[str, Any]) -> Envelope:
    return Envelope(
        specversion="1.0", id="e1", source="/x", type=type, time="2026-01-01T00:00:00Z", data=data
    )


REVIEW: dict[str, Any] = {
    **{"id": 1, "movie_id": 42, "user_id": 7, "username": "anna", "title": "Great", "body": ""},
    **{"rating": 8.0, "spoiler": False, "likes": 0},
    **dict.fromkeys(("created_at", "updated_at"), "2026-01-01T00:00:00Z"),
}


def review_data(title: str = "Great", movie: int = 42, genre: str = "") -> dict[str, Any]:
    reference = {"id": movie, "title": "Heat", "genre": genre}
    return {"version": 1, "movie": reference, "review": {**REVIEW, "movie_id": movie, "title": title}}


def test_a_review_event_is_pushed_to_each_of_its_rooms_once(rooms: FakeRooms, past: History) -> None:
    event = envelope("review_created", review_data(genre="Crime"))
    for _ in range(2):  # the second time it is a redelivery
        asyncio.run(handlers.push_review(event, rooms, past, 0))
    assert [(room, name) for room, name, _, _ in rooms.said] == [
        (room, "new_review") for room in ("42", "all", "genre:crime", "user:7")
    ]
    assert rooms.said_everywhere == [], "every notifier hears reviews by itself"


NOW = 2_000_000_000.0


async def announce(rooms: FakeRooms, past: History, *ids: str, movie: int = 42) -> None:
    """Push reviews of a movie, as events of these ids."""
    for event_id in ids:
        data = review_data(event_id, movie)
        event = envelope("review_created", data).model_copy(update={"id": event_id})
        await handlers.push_review(event, rooms, past, NOW)


def test_who_joins_again_is_told_what_the_room_missed_and_then_enters(
    join: UseCase, listener: Client, tokens: FakeTokens, rooms: FakeRooms, past: History
) -> None:
    async def story() -> None:
        first = await join(listener, request(), tokens, rooms)
        assert first["recovered"] is False
        await announce(rooms, past, "e1", "e2")
        await announce(rooms, past, "elsewhere", movie=43)
        again = Client("again", None)
        answer = await join(again, request(last_event_id=first["last_event_id"]), tokens, rooms)
        assert (answer["recovered"], answer["last_event_id"]) == (True, "e2")
        assert rooms.sent == [("again", "new_review", "e1"), ("again", "new_review", "e2")]
        answer = await join(again, request(last_event_id="elsewhere"), tokens, rooms)
        assert (answer["recovered"], answer["last_event_id"]) == (True, "e2")
        assert len(rooms.sent) == 2, "it missed nothing"
        assert rooms.members["42"] == {"l", "again"}

    asyncio.run(story())


def test_what_comes_while_a_client_is_told_is_told_to_it_before_it_enters(
    join: UseCase, listener: Client, tokens: FakeTokens, rooms: FakeRooms, past: History
) -> None:
    coming = iter(["e2", "e3"])

    async def more() -> None:
        for event_id in coming:
            await announce(rooms, past, event_id)
            return

    async def story() -> None:
        start = past.last("42")
        await announce(rooms, past, "e1")
        rooms.at_each_send = more
        answer = await join(listener, request(last_event_id=start), tokens, rooms)
        assert (answer["recovered"], answer["last_event_id"]) == (True, "e3")
        assert [event_id for _, _, event_id in rooms.sent] == ["e1", "e2", "e3"]

    asyncio.run(story())
    assert all(members == set() for room, _, _, members in rooms.said if room == "42")


def test_a_client_that_the_room_runs_away_from_is_cut_off(
    join: UseCase, listener: Client, tokens: FakeTokens, rooms: FakeRooms, past: History
) -> None:
    async def story() -> None:
        start = past.last("42")
        await announce(rooms, past, "e1")
        rooms.at_each_send = lambda: announce(rooms, past, "e2", "e3", "e4", "e5")
        with pytest.raises(Gone):
            await join(listener, request(last_event_id=start), tokens, rooms)

    asyncio.run(story())
    assert rooms.dropped == ["l"]
    assert (rooms.members, listener.rooms) == ({}, set())


def test_where_history_does_not_reach_back_nothing_is_replayed(
    join: UseCase, listener: Client, tokens: FakeTokens, rooms: FakeRooms, past: History
) -> None:
    async def story() -> None:
        start = past.last("42")
        await announce(rooms, past, "e1", "e2", "e3", "e4")
        answer = await join(listener, request(last_event_id=start), tokens, rooms)
        assert (answer["recovered"], answer["last_event_id"], rooms.sent) == (False, "e4", [])
        answer = await join(listener, request(last_event_id="e1"), tokens, rooms)
        assert (answer["recovered"], len(rooms.sent)) == (True, 3)

    asyncio.run(story())


def test_an_event_that_comes_here_later_than_elsewhere_is_waited_for(
    join: UseCase, listener: Client, tokens: FakeTokens, rooms: FakeRooms, past: History
) -> None:
    async def story() -> None:
        joining = asyncio.create_task(join(listener, request(last_event_id="e1"), tokens, rooms))
        await asyncio.sleep(0)
        await announce(rooms, past, "e0", "e1", "e2")
        answer = await joining
        assert (answer["recovered"], answer["last_event_id"]) == (True, "e2")

    asyncio.run(story())


def test_a_client_enters_no_room_while_that_is_told_of_an_event(
    join: UseCase, listener: Client, tokens: FakeTokens, rooms: FakeRooms, past: History
) -> None:
    async def story() -> None:
        async with past.turn:  # as push_review holds it
            joining = asyncio.create_task(join(listener, request(), tokens, rooms))
            await asyncio.sleep(0)
            assert rooms.members == {}
        await joining
        assert rooms.members == {"42": {"l"}}

    asyncio.run(story())


def test_who_joins_while_an_event_is_told_hears_it_once(
    join: UseCase, listener: Client, tokens: FakeTokens, past: History
) -> None:
    class SlowRooms(FakeRooms):
        async def tell(self, room: str, event: str, payload: Mapping[str, Any]) -> None:
            telling.set()
            await going_on.wait()
            await super().tell(room, event, payload)

    async def story() -> None:
        start = past.last("all")
        pushing = asyncio.create_task(announce(rooms, past, "e1"))
        await telling.wait()  # the movie's room is told, the others will be
        joining = asyncio.create_task(
            join(listener, request(room_id="all", last_event_id=start), tokens, rooms)
        )
        await asyncio.sleep(0.01)
        going_on.set()
        await asyncio.gather(pushing, joining)

    rooms, telling, going_on = SlowRooms(), asyncio.Event(), asyncio.Event()
    asyncio.run(story())
    assert rooms.sent == [("l", "new_review", "e1")]
    assert [members for room, _, _, members in rooms.said if room == "all"] == [set()]
    assert rooms.members == {"all": {"l"}}


def test_rooms_of_a_client_are_limited(
    join: UseCase, listener: Client, tokens: FakeTokens, rooms: FakeRooms
) -> None:
    listener.rooms |= {"1", "2", "3"}
    assert refusal(join(listener, request(), tokens, rooms)) == "too_many_rooms"
    asyncio.run(join(listener, request(room_id=3), tokens, rooms))
    asyncio.run(handlers.leave(listener, request(room_id=3), tokens, rooms))
    asyncio.run(join(listener, request(), tokens, rooms))


@pytest.mark.parametrize("value", [5, True, [], {}, "", "x" * 101])
def test_a_position_must_be_a_text(
    value: object, join: UseCase, listener: Client, tokens: FakeTokens, rooms: FakeRooms
) -> None:
    assert refusal(join(listener, request(last_event_id=value), tokens, rooms)) == "invalid"
    assert rooms.members == {}


def test_what_is_remembered_is_told_to_nobody(rooms: FakeRooms, past: History) -> None:
    start = past.last("all")
    event = envelope("review_created", review_data())
    recent, now = datetime.now(UTC).isoformat(), time.time()
    handlers.remember(event.model_copy(update={"time": recent}), past, now)
    handlers.remember(envelope("mark", {}).model_copy(update={"id": "m1", "time": recent}), past, now)
    assert [news.id for news in past.since("all", start) or []] == ["e1"]
    assert past.since("all", "m1") == []
    assert rooms.said == []


def test_an_event_of_the_future_is_forgotten_with_those_of_its_time(past: History) -> None:
    event, now = envelope("review_created", review_data()), time.time() - 7200
    past.begin_at("start", now)
    handlers.remember(event.model_copy(update={"time": "9000-01-01T00:00:00Z"}), past, now)
    past.add("later", time.time())
    assert past.since("all", "e1") is None, "an hour is kept"


def test_before_what_is_unknown_nothing_is_known(past: History) -> None:
    start, now = past.last("all"), time.time()
    event = envelope("review_created", review_data()).model_copy(
        update={"time": datetime.now(UTC).isoformat()}
    )
    handlers.remember(event, past, now)
    handlers.remember_no_further(event.model_copy(update={"id": "e2"}), past, now)
    handlers.remember(event.model_copy(update={"id": "e3"}), past, now)
    assert past.since("all", start) is None
    assert past.since("all", "e1") is None
    assert [news.id for news in past.since("all", "e2") or []] == ["e3"]


def test_what_clients_say_is_told_at_every_notifier(
    join: UseCase, anna: Client, tokens: FakeTokens, rooms: FakeRooms
) -> None:
    asyncio.run(join(anna, request(), tokens, rooms))
    asyncio.run(handlers.send_message(anna, request(message="hello"), tokens, rooms))
    asyncio.run(handlers.announce_review(anna, request(review_title="Great"), tokens, rooms))
    asyncio.run(handlers.leave(anna, request(), tokens, rooms))
    assert rooms.said_everywhere == ["message", "message", "new_review", "message"]


SAID: dict[str, Any] = {
    "instance": "other",
    "room": "42",
    "event": "new_review",
    "payload": {"message": "User 7 added a new review: x", "room_id": "42", "user_id": 7, "verified": False},
}


@pytest.mark.parametrize(
    "said",
    [SAID, {**SAID, "event": "message", "payload": {"message": "hello", "room_id": "42", "user_id": 7}}],
)
def test_what_another_notifiers_room_was_told_is_repeated_here_alone(
    rooms: FakeRooms, said: dict[str, Any]
) -> None:
    asyncio.run(handlers.repeat(envelope("room_told", said), rooms))
    assert rooms.said == [("42", said["event"], said["payload"], set())]
    assert rooms.said_everywhere == []


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"room": value}
            for value in ("", "x", "sid-of-a-client", None, 42, "042", "genre:DRAMA", "x" * 101)
        ),
        *({"event": value} for value in ("review_deleted", "closed", "disconnect", "connect", "", None, 7)),
        *({"payload": value} for value in (None, [], "x", {})),
        *(
            {"payload": SAID["payload"] | {"message": value}}
            for value in (None, 7, "a\0", "\ud800", "a\nb", "\u202e", "x" * 4001)
        ),
        *({"payload": SAID["payload"] | {"user_id": value}} for value in ("7", 0, 2**63, float("nan"))),
        *({"payload": SAID["payload"] | {"verified": value}} for value in (True, None, 1, "false")),
        *({"instance": value} for value in (None, 7, "", "x" * 201, "a b")),
    ],
    ids=str,
)
def test_what_no_notifier_says_is_not_repeated(rooms: FakeRooms, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's
        asyncio.run(handlers.repeat(envelope("room_told", SAID | changes), rooms))
    assert rooms.said == []


REVOKED: dict[str, Any] = {
    "version": 3,
    "user": {"id": 7, "username": "anna"},
    "session": "s7",
    "expires_at": 99,
}
UPDATED: dict[str, Any] = {"version": 2, "user": {"id": 7, "username": "hannah"}, "role": "admin"}


def test_of_what_is_said_of_sessions_and_users_auth_is_asked(tokens: FakeTokens) -> None:
    handlers.end_session(envelope("session_revoked", REVOKED), tokens)
    handlers.follow_user(envelope("user_updated", UPDATED), tokens)
    assert tokens.heard == ["s7", 7]
    assert tokens.revoked == {}, "nothing is believed"


@pytest.mark.parametrize(
    "data",
    [
        {},
        *({**REVOKED, "expires_at": value} for value in ("99", 99.5, True, None, -1, 10**30, [99])),
        *({**REVOKED, "session": value} for value in ("", 7, None, ["s7"], "x" * 201)),
        *({**REVOKED, "user": value} for value in (7, {}, {"id": "7", "username": "anna"})),
    ],
    ids=str,
)
def test_what_is_no_end_of_a_session_ends_none(tokens: FakeTokens, data: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's
        handlers.end_session(envelope("session_revoked", data), tokens)
    assert tokens.heard == []


@pytest.mark.parametrize(
    "data",
    [
        {},
        *({**UPDATED, "version": value} for value in ("2", 2.5, True, 0, 10**30)),
        *({**UPDATED, "role": value} for value in (7, None, "")),
        *({**UPDATED, "user": {"id": value, "username": "hannah"}} for value in ("7", 0, True, 10**30)),
        *({**UPDATED, "user": {"id": 7, "username": value}} for value in (7, None, "", "x" * 201)),
    ],
    ids=str,
)
def test_what_is_no_change_of_a_user_changes_nothing(tokens: FakeTokens, data: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's
        handlers.follow_user(envelope("user_updated", data), tokens)
    assert tokens.heard == []
