"""One function per use case. What they need of the outside comes as `Rooms` and `Tokens`."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from broker.errors import Unauthenticated
from broker.events import Envelope, SessionRevoked, UserUpdated, read
from broker.tokens import Ending, Identity
from notifications import domain
from notifications.domain import Attendance, News, Refusal, RoomRequest
from notifications.words import told

# How long an event that a client has heard at another notifier may take to come here as well.
ELSEWHERE_SECONDS = 2.0

Answer = dict[str, Any]


@dataclass
class Client:
    """One connected socket: `identity` is None for a listener without a token."""

    sid: str
    identity: Identity | None
    rooms: set[str] = field(default_factory=set)


class Gone(Exception):
    """The client is not connected any more."""


class Rooms(Protocol):
    """Who is in which room, and a way to speak into one."""

    async def enter(self, sid: str, room: str) -> None:
        """Raises Gone."""

    async def leave(self, sid: str, room: str) -> None: ...

    async def send(self, sid: str, event: str, payload: Mapping[str, Any]) -> None:
        """Speak to one client; nothing happens where it is gone."""

    async def drop(self, sid: str) -> None:
        """Cut the client off without a word, so that it connects again by itself."""

    async def tell(self, room: str, event: str, payload: Mapping[str, Any]) -> None:
        """Speak to those who are connected here."""

    async def tell_everywhere(self, room: str, event: str, payload: Mapping[str, Any]) -> None:
        """Speak to those here and, as far as the broker can be reached, at every other notifier."""


class Past(Protocol):
    """What the rooms were told; see `notifications.history.History`."""

    turn: asyncio.Lock

    def add(self, event_id: str, at: float, news: News | None = None) -> bool: ...
    def begin_at(self, event_id: str, at: float) -> None: ...
    def last(self, room: str) -> str: ...
    def since(self, room: str, position: str) -> list[News] | None: ...
    async def wait_for(self, position: str, seconds: float) -> None: ...


class Tokens(Protocol):
    """Whom tokens speak for, and what happens to them (times are in seconds since 1970, UTC)."""

    def now(self) -> float | None:
        """By the platform's clock; None while that is not known."""

    async def identify(self, token: str) -> Identity: ...
    def is_live(self, identity: Identity) -> bool: ...
    def ending(self, identity: Identity) -> Ending | None: ...
    def heard_of_session(self, session: str) -> None:
        """It may have been revoked: auth is asked soon."""

    def heard_of_user(self, user_id: int) -> None:
        """There may be another name, or role: auth is asked soon."""


class Presence(Protocol):
    """Who is in which room, here and at every other notifier."""

    async def of(self, room: str) -> Attendance: ...


async def connect(sid: str, auth: object, tokens: Tokens) -> Client:
    """A client for what the connection carries: nothing, or `{"token": <access token>}`.

    Raises Unauthenticated for anything else and for a token that does not hold, ServiceUnavailable while
    tokens cannot be checked.
    """
    if auth is None:
        return Client(sid, None)
    if not isinstance(auth, Mapping):
        raise Unauthenticated("auth must be an object with a token")
    token = auth.get("token")
    if token is None:
        return Client(sid, None)
    if not isinstance(token, str):
        raise Unauthenticated("The access token is not valid")
    return Client(sid, await tokens.identify(token))


async def join(
    client: Client, data: object, tokens: Tokens, rooms: Rooms, *, past: Past, most_rooms: int
) -> Answer:
    """Enter a room, and tell it so unless the client is a mere listener.

    `data` is `{"user_id", "room_id", "last_event_id"?}`. What the room was told after that event is told to
    the client first; `recovered` is false where that is not known any more, and for a first join. The
    answer's `last_event_id` is the place in the room's history at which the client enters.
    Raises Refusal, and Gone where the client is lost meanwhile.
    """
    request, fields = domain.room_request(data)
    position = domain.position(fields)
    identity = _speaker(client, request, tokens)
    if request.room not in client.rooms and len(client.rooms) >= most_rooms:
        raise Refusal(f"You are in {most_rooms} rooms, more cannot be: leave one first", "too_many_rooms")
    if position is not None:
        await past.wait_for(position, ELSEWHERE_SECONDS)
        if request.room in client.rooms:  # what is replayed must not come in between as well
            client.rooms.discard(request.room)
            await rooms.leave(client.sid, request.room)
    text = domain.joined(request)
    # No event is told meanwhile, so none can overtake the answer.
    async with _told_all_until_now(client, request.room, position, rooms, past) as recovered:
        await rooms.enter(client.sid, request.room)
        client.rooms.add(request.room)
        if identity is not None:
            await rooms.tell_everywhere(request.room, "message", _said(identity, request, text))
        last = past.last(request.room)
    return {"message": text, "recovered": recovered, "last_event_id": last, "room_id": request.room}


@asynccontextmanager
async def _told_all_until_now(
    client: Client, room: str, position: str | None, rooms: Rooms, past: Past
) -> AsyncIterator[bool]:
    """Tell the client what `room` was told after `position`; no event is told to anybody in the `with`.

    Yields whether that was possible. Raises Gone where more is told meanwhile than is remembered.
    """
    replaying = False
    while True:
        async with past.turn:
            missed = [] if position is None else past.since(room, position)
            if missed is None and not replaying:
                position, missed = None, []
            if missed == []:
                yield position is not None
                return
        if missed is None:
            await rooms.drop(client.sid)
            raise Gone
        replaying = True
        for news in missed:
            await rooms.send(client.sid, news.event, news.payload(room))
            position = news.id


async def leave(client: Client, data: object, tokens: Tokens, rooms: Rooms) -> Answer:
    """Leave a room, and tell those who remain unless the client is a mere listener, or was not there.

    `data` is `{"user_id", "room_id"}`. Raises Refusal.
    """
    request, _ = domain.room_request(data)
    identity = _speaker(client, request, tokens)
    text = domain.left(request)
    if request.room in client.rooms:
        client.rooms.discard(request.room)
        await rooms.leave(client.sid, request.room)
        if identity is not None:
            await rooms.tell_everywhere(request.room, "message", _said(identity, request, text))
    return {"message": text, "room_id": request.room}


async def send_message(client: Client, data: object, tokens: Tokens, rooms: Rooms) -> Answer:
    """Say something in a room that the signed-in client is in.

    `data` is `{"user_id", "room_id", "message"}`. Raises Refusal.
    """
    request, fields = domain.room_request(data)
    text = domain.text_field(fields, "message", domain.MOST_MESSAGE_CHARACTERS)
    identity = _member(client, request, tokens)
    await rooms.tell_everywhere(request.room, "message", _said(identity, request, text))
    return {"message": text, "room_id": request.room}


async def announce_review(client: Client, data: object, tokens: Tokens, rooms: Rooms) -> Answer:
    """Tell a room of a review on the client's word alone, hence `"verified": false`.

    `data` is `{"user_id", "room_id", "review_title"}`. Raises Refusal.
    """
    request, fields = domain.room_request(data)
    title = domain.text_field(fields, "review_title", domain.MOST_TITLE_CHARACTERS)
    identity = _member(client, request, tokens)
    text = domain.announcement(identity.user_id, title)
    await rooms.tell_everywhere(
        request.room, "new_review", _said(identity, request, text) | {"verified": False}
    )
    return {"message": text, "room_id": request.room}


async def room_presence(data: object, presence: Presence) -> Answer:
    """Who is in a room: anyone may ask. `data` is `{"room_id"}`. Raises Refusal."""
    room = domain.room_asked(data)
    found = await presence.of(room)
    return {
        "room_id": room,
        "listeners": found.listeners,
        "users": list(found.users),
        "complete": found.complete,
    }


async def push_review(envelope: Envelope, rooms: Rooms, past: Past, now: float | None) -> None:
    """Tell every room that a review event concerns, unless they were told of it before.

    `now` is in seconds since 1970, by the platform's clock; None where that is not known. Raises ValueError
    for another event.
    """
    news = domain.fan_out(envelope)
    async with past.turn:
        if past.add(news.id, moment(envelope, now) if now is None else now, news):
            for room in news.rooms:
                await rooms.tell(room, news.event, news.payload(room))


def remember(envelope: Envelope, past: Past, now: float | None) -> None:
    """Record a review event, or a mere mark in their order, of before: nobody is told.

    Raises ValueError for other events.
    """
    news = domain.fan_out(envelope) if envelope.type in domain.REVIEW_EVENTS else None
    past.add(envelope.id, moment(envelope, now), news)


def remember_no_further(envelope: Envelope, past: Past, now: float | None) -> None:
    """What was told until this event, and by it, is not known: who was there then reads anew.

    Raises ValueError for other events.
    """
    domain.fan_out(envelope)
    past.begin_at(envelope.id, moment(envelope, now))


def is_stale(envelope: Envelope, seconds: float, now: float | None) -> bool:
    """Whether it is from before what is remembered: somebody plays it again, now that its id is forgotten."""
    return now is not None and moment(envelope, now) < now - seconds


def moment(envelope: Envelope, now: float | None) -> float:
    """When it was recorded, in seconds since 1970: never in the future, or it would not be forgotten."""
    recorded = datetime.fromisoformat(envelope.time).timestamp()
    return recorded if now is None else min(recorded, now)


async def repeat(envelope: Envelope, rooms: Rooms) -> None:
    """Tell a room here what it was told at another notifier. Raises ValueError for other data."""
    said = told(envelope)
    await rooms.tell(said.room, said.event, said.payload.model_dump(mode="json", exclude_unset=True))


def end_session(envelope: Envelope, tokens: Tokens) -> None:
    """A session is revoked, it is said. Raises ValueError for other data."""
    tokens.heard_of_session(read(envelope, SessionRevoked).session)


def follow_user(envelope: Envelope, tokens: Tokens) -> None:
    """A user has another role or name, it is said. Raises ValueError for other data."""
    tokens.heard_of_user(read(envelope, UserUpdated).user.id)


def _speaker(client: Client, request: RoomRequest, tokens: Tokens) -> Identity | None:
    """Whom the client speaks for; None for a mere listener, whose `user_id` is not believed."""
    identity = client.identity
    if identity is None:
        return None
    if not tokens.is_live(identity):
        raise Refusal("Your sign-in has ended; connect again with a new token", "sign_in_required")
    if str(request.user_id) != str(identity.user_id):
        raise Refusal(f"user_id must be your own, {identity.user_id}", "forbidden")
    return identity


def _member(client: Client, request: RoomRequest, tokens: Tokens) -> Identity:
    """The signed-in user that the client speaks for, who is in the room."""
    identity = _speaker(client, request, tokens)
    if identity is None:
        raise Refusal("Connect with an access token to speak in a room", "sign_in_required")
    if request.room not in client.rooms:
        raise Refusal(f"Join the room {request.room} before you speak in it", "not_in_room")
    return identity


def _said(identity: Identity, request: RoomRequest, text: str) -> Answer:
    return {"message": text, "room_id": request.room, "user_id": identity.user_id}
