"""Pure rules of the rooms: what they are called, what is said in them, which of them an event reaches."""

import heapq
import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from broker.events import (
    MOST_EVENT_ID,
    Envelope,
    ReviewCreated,
    ReviewDeleted,
    ReviewEvent,
    ReviewUpdated,
    read,
)
from broker.text import flattened, folded, line

ALL = "all"
GENRE_PREFIX = "genre:"
USER_PREFIX = "user:"
MOST_GENRE_CHARACTERS = 50
MOST_GENRES = 100  # of an event, that are rooms
MOST_NAME_CHARACTERS = 100  # of a user_id or a room_id
MOST_TITLE_CHARACTERS = 200
MOST_MESSAGE_CHARACTERS = 2000
MOST_POSITION_CHARACTERS = MOST_EVENT_ID
MOST_NAMES = 50  # of those in a room
MOST_ID_DIGITS = 19  # of PostgreSQL's bigint

# An event of a review: its model, the name under which rooms get it, and what its writer did.
REVIEW_EVENTS: dict[str, tuple[type[ReviewEvent], str, str]] = {
    "review_created": (ReviewCreated, "new_review", "added a new review"),
    "review_updated": (ReviewUpdated, "review_updated", "updated the review"),
    "review_deleted": (ReviewDeleted, "review_deleted", "deleted the review"),
}


class Refusal(Exception):
    """What a client asked for cannot be: one sentence for people, and a code for programs."""

    def __init__(self, sentence: str, code: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code


@dataclass(frozen=True)
class RoomRequest:
    """Who wants something of which room: `user_id` and `room_id` as sent, `room` the room's own name."""

    user_id: int | str
    room_id: int | str
    room: str


@dataclass(frozen=True, slots=True)
class News:
    """What rooms get of an event: under which name, and the payload, kept as text because that is smaller."""

    id: str
    event: str
    rooms: tuple[str, ...]
    text: str  # a JSON object: what the payloads for all rooms have in common

    def payload(self, room: str) -> dict[str, Any]:
        """What `room` gets, live and replayed alike."""
        return {**json.loads(self.text), "room_id": room}


@dataclass(frozen=True)
class Attendance:
    """Who is in a room: the number of sockets, and the first names of those signed in, sorted, each once.

    Not `complete` where a notifier may have been left out.
    """

    listeners: int
    users: tuple[str, ...] = ()
    complete: bool = True


class Seen:
    """Remembers the last `most` event ids, so that a redelivery is told apart."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._ids: OrderedDict[str, None] = OrderedDict()

    def first_time(self, event_id: str) -> bool:
        """Whether `event_id` has not been asked about before."""
        if event_id in self._ids:
            return False
        self._ids[event_id] = None
        if len(self._ids) > self._most:
            self._ids.popitem(last=False)
        return True


def room_request(data: object) -> tuple[RoomRequest, Mapping[str, Any]]:
    """What `{"user_id", "room_id", …}` asks for, and the object itself.

    Raises Refusal: `invalid` where a field is at fault, `unknown_room` where there is no such room.
    """
    if not isinstance(data, Mapping):
        raise Refusal("The event must carry one object", "invalid")
    user_id = _name(data, "user_id")
    room_id = _name(data, "room_id")
    return RoomRequest(user_id, room_id, room_name(room_id)), data


def room_asked(data: object) -> str:
    """The name of the room that `{"room_id", …}` is about. Raises Refusal as `room_request` does."""
    if not isinstance(data, Mapping):
        raise Refusal("The event must carry one object", "invalid")
    return room_name(_name(data, "room_id"))


def room_name(room_id: int | str) -> str:
    """The room's own name, the same for every spelling of it. Raises Refusal `unknown_room`."""
    text = str(room_id).strip()
    if text == ALL:
        return ALL
    if text.startswith(GENRE_PREFIX):
        genre = folded(text.removeprefix(GENRE_PREFIX))
        if 1 <= len(genre) <= MOST_GENRE_CHARACTERS:
            return GENRE_PREFIX + genre
    elif text.startswith(USER_PREFIX):
        if number := _positive(text.removeprefix(USER_PREFIX)):
            return f"{USER_PREFIX}{number}"
    elif number := _positive(text):
        return str(number)
    raise Refusal(
        "There is no such room: a room is a movie's id, all, genre:<genre> or user:<id of a reviewer>",
        "unknown_room",
    )


def text_field(data: Mapping[str, Any], field: str, most: int) -> str:
    """The line in `field` without the blanks around it, 1 to `most` characters. Raises Refusal `invalid`."""
    value = data.get(field)
    if value is None:
        raise Refusal(f"{field} is required", "invalid")
    if not isinstance(value, str):
        raise Refusal(f"{field} must be a text", "invalid")
    text = _line(value, field)
    if not 1 <= len(text) <= most:
        raise Refusal(f"{field} must have 1 to {most} characters", "invalid")
    return text


def position(data: Mapping[str, Any]) -> str | None:
    """The `last_event_id` of a client that was in the room before. Raises Refusal `invalid`."""
    if data.get("last_event_id") is None:
        return None
    return text_field(data, "last_event_id", MOST_POSITION_CHARACTERS)


def joined(request: RoomRequest) -> str:
    return f"User {request.user_id} has joined the room {request.room_id}"


def left(request: RoomRequest) -> str:
    return f"User {request.user_id} has left the room {request.room_id}"


def announcement(user_id: int | str, review_title: str) -> str:
    """What a client's own `new_review` says."""
    return f"User {user_id} added a new review: {review_title}"


def attendance(listeners: int, names: Iterable[str], *, complete: bool = True) -> Attendance:
    """`names` in any order, as often as they come."""
    return Attendance(listeners, tuple(heapq.nsmallest(MOST_NAMES, set(names))), complete)


def together(attendances: Iterable[Attendance]) -> Attendance:
    """Who is in a room at several notifiers."""
    each = list(attendances)
    return attendance(
        sum(one.listeners for one in each),
        (name for one in each for name in one.users),
        complete=all(one.complete for one in each),
    )


def fan_out(envelope: Envelope) -> News:
    """What its rooms get of a review event: its movie's, `all`, its genres' and its writer's.

    It is made from the model, so nothing else of the event gets there. A spoiler goes out without its title
    and body, which whoever wants them reads by REST. Raises ValueError where the event lacks something or has
    it wrong, KeyError for an event of another type.
    """
    kind, event, deed = REVIEW_EVENTS[envelope.type]
    said = read(envelope, kind)
    user_id = said.review.user_id
    who = "A former user" if user_id is None else f"User {user_id}"
    rooms = [str(said.movie.id), ALL, *_genre_rooms(said.movie.genre)]
    if user_id is not None:
        rooms.append(f"{USER_PREFIX}{user_id}")
    review, title = said.review.model_dump(mode="json"), said.review.title
    if said.review.spoiler:
        review, title = {**review, "title": None, "body": None}, "(spoiler)"
    common = {
        "message": f"{who} {deed}: {flattened(title)}",
        "verified": True,
        "event_id": envelope.id,
        "movie_id": said.movie.id,
        "movie_title": said.movie.title,
        "review": review,
    }
    text = json.dumps(common, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return News(envelope.id, event, tuple(rooms), text)


def _genre_rooms(genres: str) -> list[str]:
    """The rooms of a movie's comma-separated genres, each once."""
    names = (folded(name) for name in genres.split(",", MOST_GENRES)[:MOST_GENRES])
    return [GENRE_PREFIX + name for name in dict.fromkeys(names) if name]


def _positive(text: str) -> int:
    """The positive integer that `text` spells in ASCII digits; 0 where it does not."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_ID_DIGITS else 0


def _name(data: Mapping[str, Any], field: str) -> int | str:
    value = data.get(field)
    if value is None:
        raise Refusal(f"{field} is required", "invalid")
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Refusal(f"{field} must be a number or a text", "invalid")
    if not 1 <= len(str(value)) <= MOST_NAME_CHARACTERS:
        raise Refusal(f"{field} must have 1 to {MOST_NAME_CHARACTERS} characters", "invalid")
    if isinstance(value, int):
        return value
    _line(value, field)
    if value.splitlines() != [value]:  # it ends in one, which is no more than a blank elsewhere
        raise Refusal(f"{field} must be one line", "invalid")
    return value  # as it was sent: that is what the answer names


def _line(value: str, field: str) -> str:
    """One line, so that nobody adds to what a room is told in our words."""
    try:
        return line(value)
    except ValueError as error:
        raise Refusal(f"{field} {error}", "invalid") from error
