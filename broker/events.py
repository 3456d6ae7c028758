"""The events that the services announce: typed, versioned, and their CloudEvents 1.0 wire form.

Write strictly (unknown or missing fields are refused here), read tolerantly (`Envelope` ignores what it
does not know). A breaking change is an event of a new name.
"""

from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import uuid4

from kombu import Exchange
from nameko.standalone.events import get_event_exchange
from pydantic import BaseModel, ConfigDict


def exchange(source: str) -> Exchange:
    """The topic exchange of a service's events, `<source>.events`, declared as Nameko declares it."""
    return get_event_exchange(source, {})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Movie(_Strict):
    """A movie as REST gives it. Times are ISO 8601 in UTC, ratings 0 to 10."""

    id: int
    title: str
    description: str
    rating: float | None
    genre: str
    poster_url: str
    release_date: str | None
    kind: str
    director: str
    average_rating: float | None
    review_count: int
    created_at: str
    updated_at: str


class MovieReference(_Strict):
    id: int
    title: str
    genre: str


class Review(_Strict):
    """A review as REST gives it; `user_id` and `username` are null once its writer's account is gone."""

    id: int
    movie_id: int
    user_id: int | None
    username: str | None
    title: str
    body: str
    rating: float
    spoiler: bool
    likes: int
    created_at: str
    updated_at: str


class UserReference(_Strict):
    id: int
    username: str


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
    version: int
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
    version: int
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
    # Ascending per user.
    version: int
    user: UserReference

    @property
    def subject(self) -> str:
        return f"users/{self.user.id}"


class UserRegistered(UserEvent):
    type: ClassVar[str] = "user_registered"


class UserUpdated(UserEvent):
    """The username or the role changed (an e-mail address or a password is nobody else's business)."""

    type: ClassVar[str] = "user_updated"
    role: str


class UserDeleted(UserEvent):
    type: ClassVar[str] = "user_deleted"


class SessionRevoked(UserEvent):
    """The tokens of this session are refused from now on; it would have ended by itself at `expires_at`."""

    type: ClassVar[str] = "session_revoked"
    session: str
    expires_at: int  # seconds since 1970, UTC


class Envelope(BaseModel):
    """A CloudEvents 1.0 envelope as it travels. `id` is the same on every redelivery."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    specversion: str
    id: str
    source: str
    type: str
    time: str
    subject: str = ""
    data: dict[str, Any]


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
