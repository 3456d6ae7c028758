"""One function per use case. What they need of the outside comes as `Rooms` and `Tokens`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from broker.errors import Unauthenticated
from broker.events import Envelope
from broker.tokens import Identity
from notifications import domain
from notifications.domain import Refusal, RoomRequest

Answer = dict[str, Any]


@dataclass
class Client:
    """One connected socket: `identity` is None for a listener without a token."""

    sid: str
    identity: Identity | None
    rooms: set[str] = field(default_factory=set)


class Rooms(Protocol):
    """Who is in which room, and a way to speak into one."""

    async def enter(self, sid: str, room: str) -> None: ...
    async def leave(self, sid: str, room: str) -> None: ...

    async def tell(self, room: str, event: str, payload: Mapping[str, Any]) -> None:
        """Speak to those who are connected here."""

    async def tell_everywhere(self, room: str, event: str, payload: Mapping[str, Any]) -> None:
        """Speak to those here and, as far as the broker can be reached, at every other notifier."""


class Tokens(Protocol):
    """Whom tokens speak for, and what happens to them (times are in seconds since 1970, UTC)."""

    async def identify(self, token: str) -> Identity: ...
    def is_live(self, identity: Identity) -> bool: ...
    def revoke(self, session: str, expires_at: int) -> None: ...
    def set_role(self, user_id: int, role: str) -> None: ...


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


async def join(client: Client, data: object, tokens: Tokens, rooms: Rooms) -> Answer:
    """Enter a room, and tell it so unless the client is a mere listener.

    `data` is `{"user_id", "room_id"}`. Raises Refusal.
    """
    request, _ = domain.room_request(data)
    identity = _speaker(client, request, tokens)
    await rooms.enter(client.sid, request.room)
    client.rooms.add(request.room)
    text = domain.joined(request)
    if identity is not None:
        await rooms.tell_everywhere(request.room, "message", _said(identity, request, text))
    return {"message": text, "recovered": False, "last_event_id": None, "room_id": request.room}


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


async def push_review(envelope: Envelope, rooms: Rooms) -> None:
    """Tell every room that a review event concerns. Raises pydantic.ValidationError for another."""
    for push in domain.fan_out(envelope):
        await rooms.tell(push.room, push.event, push.payload)


async def repeat(envelope: Envelope, rooms: Rooms) -> None:
    """Tell a room here what it was told at another notifier. Raises KeyError for other data."""
    data = envelope.data
    await rooms.tell(data["room"], data["event"], data["payload"])


def end_session(envelope: Envelope, tokens: Tokens) -> None:
    """Refuse a revoked session's tokens. Raises KeyError, TypeError or ValueError for other data."""
    tokens.revoke(str(envelope.data["session"]), int(envelope.data["expires_at"]))


def change_role(envelope: Envelope, tokens: Tokens) -> None:
    """Follow a user's role. Raises KeyError, TypeError or ValueError for other data."""
    tokens.set_role(int(envelope.data["user"]["id"]), str(envelope.data["role"]))


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
