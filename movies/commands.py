"""What may be asked of movies, validated."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from broker.errors import Invalid
from broker.speakers import Speaker
from broker.validation import (
    PAGE_DEFAULT,
    Body,
    Cursor,
    Day,
    Id,
    Limit,
    Line,
    Paragraphs,
    Parameters,
    Plain,
    Sought,
    WebAddress,
)
from movies.domain import Actor, genres


def _present(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def _exact(score: float) -> float:
    """Critics' and imported scores have 3 decimals at most; more is what arithmetic has left of a number."""
    if round(score, SCORE_DECIMALS) != score:
        raise ValueError(f"must have at most {SCORE_DECIMALS} decimals")
    return score


def _half(stars: float) -> float:
    if stars * 2 != int(stars * 2):
        raise ValueError("must be in steps of 0.5")
    return stars


SCORE_DECIMALS = 3
Title = Annotated[Line, Field(max_length=300), AfterValidator(_present)]
Genre = Annotated[Line, Field(max_length=300), AfterValidator(lambda text: ", ".join(genres(text)))]
Kind = Literal["movie", "tv"]
Prior = Annotated[float, Field(ge=0, le=10)]
Score = Annotated[Prior, AfterValidator(_exact)]
# Not pydantic's multiple_of, which lets 7.49999999999 pass.
Stars = Annotated[float, Field(ge=1, le=10), AfterValidator(_half)]


class CreateMovie(Body):
    """`rating` is the prior: a critic's or an imported score, 0 to 10."""

    title: Title
    description: Annotated[Paragraphs, Field(max_length=10_000)] = ""
    rating: Score | None = None
    genre: Genre = ""
    poster_url: WebAddress = ""
    release_date: Day | None = None
    kind: Kind = "movie"
    director: Annotated[Line, Field(max_length=300)] = ""


class Changes(Body):
    """Any of the fields; what is not sent stays. The defaults are never used."""

    def changes(self) -> dict[str, Any]:
        """The fields that were sent. Raises Invalid where none was."""
        if not self.model_fields_set:
            raise Invalid("There is nothing to change", {"body": "needs at least one field"})
        return {name: getattr(self, name) for name in self.model_fields_set}


class UpdateMovie(Changes, CreateMovie):
    title: Title = ""


class CreateReview(Body):
    title: Annotated[Title, Field(max_length=200)]
    rating: Stars
    body: Annotated[Paragraphs, Field(max_length=20_000)] = ""
    spoiler: bool = False


class UpdateReview(Changes, CreateReview):
    title: Annotated[Title, Field(max_length=200)] = ""
    rating: Stars = 1.0


class Page(Parameters):
    limit: Limit = PAGE_DEFAULT
    cursor: Cursor | None = None


class PopularPage(Parameters):
    limit: Limit = 10


class ReviewPage(Page):
    sort: Literal["newest", "highest", "lowest", "likes"] = "newest"


class Search(Page):
    """`title`, `director`: a part of it; `genre`: one of its genres; `q`: what people type to find a film.

    All are compared folded (`broker.text`). Of a search by `q` there are `storage.ways.MOST` films at most.
    """

    title: Annotated[Sought, Field(max_length=300)] = ""
    genre: Annotated[Sought, Field(max_length=100)] = ""
    director: Annotated[Sought, Field(max_length=300)] = ""
    q: Annotated[Sought, Field(max_length=300)] = ""
    kind: Kind | None = None
    min_rating: Prior | None = None
    max_rating: Prior | None = None
    year_from: Annotated[int, Field(ge=1, le=9999)] | None = None
    year_to: Annotated[int, Field(ge=1, le=9999)] | None = None
    sort: Literal["relevance", "rating", "popular", "newest", "oldest", "title"] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Search":
        if self.sort == "relevance" and not self.q:
            raise Invalid(errors={"sort": "relevance needs q"})
        return self

    @property
    def order(self) -> str:
        """What the results are sorted by."""
        if self.sort is None:
            return "relevance" if self.q else "rating"
        return {"newest": "latest", "oldest": "earliest"}.get(self.sort, self.sort)


class Suggest(Parameters):
    """`q`: a title as far as it is typed."""

    q: Annotated[Sought, Field(max_length=300)] = ""


class ActorFields(Body):
    """Who asks, as the caller vouches for it."""

    id: Id
    username: Annotated[Plain, Field(max_length=100)]
    role: Literal["user", "moderator", "admin"] = "user"


def actor(fields: ActorFields, speaker: Speaker | None) -> Actor:
    """The actor of a call that was made for `speaker`, if that is who it is."""
    uid = speaker.uid if speaker is not None and speaker.user_id == fields.id else None
    return Actor(**fields.model_dump(), uid=uid)
