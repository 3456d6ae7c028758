"""Movies' tables, as the migrations make them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR

METADATA = MetaData()
Moment = DateTime(timezone=True)

MOVIES = Table(
    "movies",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("title", Text),
    Column("description", Text),
    Column("genre", Text),
    Column("poster_url", Text),
    Column("release_date", Date),
    Column("kind", Text),
    Column("director", Text),
    Column("prior", Double),
    Column("created_by", BigInteger),  # null once the account is gone
    Column("created_at", Moment),
    Column("updated_at", Moment),
    # What it is found by; see storage.keys. Texts are under COLLATE "C".
    Column("title_key", Text),
    Column("director_key", Text),
    Column("genres", ARRAY(Text)),
    Column("title_joined", Text),
    Column("title_bare", Text),  # without articles
    Column("title_words", TSVECTOR),
    Column("name_words", TSVECTOR),  # of title and director
    Column("all_words", TSVECTOR),  # and of the description
    Column("slips", ARRAY(BigInteger)),
    Column("spelling", Text),
    Column("keyed_at", Moment),  # null where the release before has written since; see storage.keying
)

# What this installation keeps for itself: one row.
INSTALLATION = Table(
    "installation",
    METADATA,
    Column("cursor_key", LargeBinary),  # what cursors are signed with
    Column("unsigned_cursors_until", Moment),  # null where none was ever given out
)

MOVIE_STATS = Table(
    "movie_stats",
    METADATA,
    Column("movie_id", BigInteger, primary_key=True),
    Column("version", BigInteger),  # ascending, carried by the movie's and its reviews' events
    Column("review_count", Integer),
    Column("rating_sum", Double),
    Column("popularity", Double),  # see domain.popularity
    Column("rating", Double),  # see domain.bayesian_rating
)

REVIEWERS = Table(
    "reviewers",
    METADATA,
    Column("user_id", BigInteger, primary_key=True),
    Column("username", Text),
    Column("version", BigInteger),  # auth's; 0 where a token alone said the name, to an older release
    # The account's, which no other one ever has; null where auth has not been asked yet. What refers to the
    # user_id elsewhere is this account's.
    Column("uid", Uuid),
)

REVIEWS = Table(
    "reviews",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("movie_id", BigInteger),
    Column("user_id", BigInteger),  # null once the account is gone
    Column("title", Text),
    Column("body", Text),
    Column("rating", Double),
    Column("spoiler", Boolean),
    Column("likes", Integer),
    Column("created_at", Moment),
    Column("updated_at", Moment),
)

REVIEW_LIKES = Table(
    "review_likes",
    METADATA,
    Column("review_id", BigInteger, primary_key=True),
    Column("user_id", BigInteger, primary_key=True),
)
