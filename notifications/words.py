"""What notifiers say to each other, and the models that it passes before anything comes of it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from broker.events import Envelope, Name, Text, Word, read
from broker.text import line
from broker.validation import Id
from notifications import domain

MOST_LISTENERS = 10_000_000  # of one room, at one notifier


def _room(name: str) -> str:
    """A room's own name: Socket.IO has rooms of other names too, one for each client."""
    try:
        if domain.room_name(name) == name:
            return name
    except domain.Refusal:
        pass
    raise ValueError("must be the name of a room")


def _line(said: str) -> str:
    line(said)
    return said


RoomName = Annotated[Text, Field(max_length=domain.MOST_NAME_CHARACTERS), AfterValidator(_room)]


class Said(BaseModel):
    """What a notifier says: who says it, and what the word needs."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    instance: Word


class _Message(BaseModel):
    """What a client said in a room, as `handlers` makes it: on its word alone, so never verified."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    message: Annotated[Text, Field(max_length=2 * domain.MOST_MESSAGE_CHARACTERS), AfterValidator(_line)]
    room_id: RoomName | None = None
    user_id: Id | None = None


class _Announcement(_Message):
    verified: Literal[False]


class _Told(Said):
    room: RoomName


class MessageTold(_Told):
    event: Literal["message"]
    payload: _Message


class ReviewTold(_Told):
    event: Literal["new_review"]
    payload: _Announcement


class Asked(Said):
    ask: Word
    room: Annotated[Text, Field(min_length=1, max_length=domain.MOST_NAME_CHARACTERS)]


class Told(Said):
    ask: Word
    listeners: Annotated[int, Field(ge=0, le=MOST_LISTENERS)]
    users: Annotated[list[Name], Field(max_length=domain.MOST_NAMES)]


def told(envelope: Envelope) -> MessageTold | ReviewTold:
    """What a room was told at another notifier. Raises ValueError for other data."""
    if envelope.data.get("event") == "new_review":
        return read(envelope, ReviewTold)
    return read(envelope, MessageTold)
