"""The events that the services announce: typed, versioned, and their CloudEvents 1.0 wire form.

Write strictly (unknown or missing fields are refused here), read tolerantly: `received` and `read` leave
out what they do not know, and refuse what is known and wrong. Nothing that came in is used but through
them. A breaking change is an event of a new name.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from uuid import uuid4

from kombu import Exchange
from nameko.standalone.events import get_event_exchange
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from broker.decoding import object_of
from broker.validation import Id, is_storable

# Twelve bytes for each character of the longest texts below, as JSON may write them.
MOST_EVENT_BYTES = 4 * 2**20
MOST_EXACT = 2**53 - 1  # beyond it JavaScript counts in twos
MOST_EVENT_ID = 100  # characters; a client sends it back as its last_event_id


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("must not hold NUL or broken characters")
    return text


# The bounds are wider than those of what may be asked for: what an older release let in is announced too.
Text = Annotated[str, AfterValidator(_storable)]
Line = Annotated[Text, Field(max_length=2000)]
Paragraphs = Annotated[Text, Field(max_length=200_000)]
Name = Annotated[Text, Field(min_length=1, max_length=200)]
Word = Annotated[str, Field(pattern=r"^[!-~]{1,200}$")]
EventId = Annotated[str, Field(pattern=rf"^[!-~]{{1,{MOST_EVENT_ID}}}$")]
Moment = Annotated[Text, Field(max_length=40)]  # ISO 8601, UTC
Day = Annotated[Text, Field(max_length=10)]  # YYYY-MM-DD
Count = Annotated[int, Field(ge=0, le=MOST_EXACT)]
Version = Annotated[int, Field(ge=1, le=MOST_EXACT)]
Rating = Annotated[float, Field(ge=0, le=10)]


def exchange(source: str) -> Exchange:
    """The topic exchange of a service's events, `<source>.events`, declared as Nameko declares it."""
    return get_event_exchange(source, {})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Movie(_Strict):
    """A movie as REST gives it. Times are ISO 8601 in UTC, ratings 0 to 10."""

    id: Id
    title: Line
    description: Paragraphs
    rating: Rating | None
    genre: Line
    poster_url: Line
    release_date: Day | None
    kind: Word
    director: Line
    average_rating: Rating | None
    review_count: Count
    created_at: Moment
    updated_at: Moment


class MovieReference(_Strict):
    id: Id
    title: Line
    genre: Line


class Review(_Strict):
    """A review as REST gives it; `user_id` and `username` are null once its writer's account is gone."""

    id: Id
    movie_id: Id
    user_id: Id | None
    username: Name | None
    title: Line
    body: Paragraphs
    rating: Annotated[Rating, Field(ge=1)]
    spoiler: bool
    likes: Count
    created_at: Moment
    updated_at: Moment


class UserReference(_Strict):
    """`uid` is the account's alone, whatever is restored; releases before do not say it."""

    id: Id
    username: Name
    uid: Annotated[Word | None, Field(exclude_if=lambda uid: uid is None)] = None


class Event(_Strict):
    """What happened, in the past tense. `type` is the routing key, `source` the service that says it."""

    type: ClassVar[str]
    source: ClassVar[str]
    revision: ClassVar[int] = 1

    @property
    def subject(self) -> str:
        """What it happened to, as a path of the REST API."""
        raise NotImplementedError


class MovieEvent(Event):
    source: ClassVar[str] = "movies"
    # Ascending per movie, over movie and review events alike.
    version: Version
    movie: Movie

    @property
    def subject(self) -> str:
        return f"movies/{self.movie.id}"


class MovieCreated(MovieEvent):
    type: ClassVar[str] = "movie_created"


class MovieUpdated(MovieEvent):
    type: ClassVar[str] = "movie_updated"


class MovieDeleted(MovieEvent):
    type: ClassVar[str] = "movie_deleted"


class ReviewEvent(Event):
    source: ClassVar[str] = "movies"
    version: Version
    movie: MovieReference
    review: Review

    @property
    def subject(self) -> str:
        return f"reviews/{self.review.id}"


class ReviewCreated(ReviewEvent):
    type: ClassVar[str] = "review_created"


class ReviewUpdated(ReviewEvent):
    type: ClassVar[str] = "review_updated"


class ReviewDeleted(ReviewEvent):
    type: ClassVar[str] = "review_deleted"


class UserEvent(Event):
    source: ClassVar[str] = "auth"
    # Ascending per user, over all that is announced of it: no two events have the same.
    version: Version
    user: UserReference

    @property
    def subject(self) -> str:
        return f"users/{self.user.id}"


class UserRegistered(UserEvent):
    type: ClassVar[str] = "user_registered"


class UserUpdated(UserEvent):
    """The username or the role changed (an e-mail address or a password is nobody else's business)."""

    type: ClassVar[str] = "user_updated"
    role: Word


class UserDeleted(UserEvent):
    type: ClassVar[str] = "user_deleted"


class SessionRevoked(UserEvent):
    """The tokens of this session are refused from now on; it would have ended by itself at `expires_at`."""

    type: ClassVar[str] = "session_revoked"
    session: Word
    expires_at: Count  # seconds since 1970, UTC

    @property
    def subject(self) -> str:
        return f"sessions/{self.session}"


KINDS: dict[tuple[str, str], type[Event]] = {
    (kind.source, kind.type): kind
    for kind in (
        *(MovieCreated, MovieUpdated, MovieDeleted, ReviewCreated, ReviewUpdated, ReviewDeleted),
        *(UserRegistered, UserUpdated, UserDeleted, SessionRevoked),
    )
}
Kind = TypeVar("Kind", bound=BaseModel)


class Envelope(BaseModel):
    """A CloudEvents 1.0 envelope as it came in. `id` is the same on every redelivery.

    `data` are as they were sent: what is in them is for `read` to say. `signature`: see `broker.signatures`.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    specversion: Literal["1.0"]
    id: EventId
    source: Word
    type: Word
    time: Moment
    subject: Annotated[Text, Field(max_length=300)] = ""
    signature: Annotated[Text, Field(max_length=200)] = ""
    data: dict[str, Any]


def read(envelope: Envelope, kind: type[Kind]) -> Kind:
    """What the envelope says as a `kind`, without what that does not know. Raises ValueError."""
    return kind.model_validate(envelope.data, extra="ignore")


def received(body: bytes | str, source: str, event_type: str | None = None) -> Envelope:
    """The envelope in a message that came from the exchange of `source`, under the routing key `event_type`
    (None: any). What it says fits the model of its type, where that is one of ours.

    Raises Malformed or another ValueError for anything else: no JSON that every reader can read (NaN, broken
    UTF-8, lone surrogates), no such envelope or data, too long, of no moment that there is, of another source
    or type.
    """
    envelope = Envelope.model_validate(object_of(body, MOST_EVENT_BYTES))
    if envelope.source != f"/{source}" or event_type not in (None, envelope.type):
        raise ValueError("an event says where it came from")
    if not 1970 <= datetime.fromisoformat(envelope.time).year < 9999:  # there are no timestamps at the ends
        raise ValueError("an event is of our time")
    if (kind := KINDS.get((source, envelope.type))) is not None:
        read(envelope, kind)
    return envelope


def envelope(event: Event, now: datetime) -> dict[str, Any]:
    """The wire form of `event`: one JSON object in the CloudEvents 1.0 format, with an id of its own.

    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
    """
    return {
        "specversion": "1.0",
        "id": uuid4().hex,
        "source": f"/{event.source}",
        "type": event.type,
        "time": now.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "subject": event.subject,
        "datacontenttype": "application/json",
        "dataschema": f"urn:movie-review-platform:{event.type}:{event.revision}",
        "data": event.model_dump(mode="json"),
    }
