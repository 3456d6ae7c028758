"""Movies, reviews, likes and the outbox."""

from alembic import op

from broker.outbox import DROP_1, SCHEMA_1

revision = "0001"
down_revision = None

TABLES = (
    # fastupdate=off: a search must not pay for the pending list that earlier writes left.
    """
    CREATE TABLE movies (
        id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        title        text NOT NULL,
        description  text NOT NULL,
        genre        text NOT NULL,
        genres       text[] NOT NULL,
        poster_url   text NOT NULL,
        release_date date,
        kind         text NOT NULL CHECK (kind IN ('movie', 'tv')),
        director     text NOT NULL,
        prior        double precision CHECK (prior BETWEEN 0 AND 10),
        created_by   bigint,
        created_at   timestamptz NOT NULL,
        updated_at   timestamptz NOT NULL,
        trigrams     text[] NOT NULL,
        document     tsvector GENERATED ALWAYS AS (
            setweight(to_tsvector('simple', title), 'A')
            || setweight(to_tsvector('simple', director), 'B')
            || setweight(to_tsvector('english', description), 'C')
        ) STORED
    )
    """,
    "CREATE INDEX movies_genres ON movies USING gin (genres) WITH (fastupdate = off)",
    "CREATE INDEX movies_trigrams ON movies USING gin (trigrams) WITH (fastupdate = off)",
    "CREATE INDEX movies_document ON movies USING gin (document) WITH (fastupdate = off)",
    "CREATE INDEX movies_created_by ON movies (created_by)",
    # What reviews change has a narrow table of its own, so that the indexes above are never written for it.
    # Its row is also the lock under which a movie's events get their versions.
    """
    CREATE TABLE movie_stats (
        movie_id     bigint PRIMARY KEY REFERENCES movies ON DELETE CASCADE,
        version      bigint NOT NULL,
        review_count integer NOT NULL CHECK (review_count >= 0),
        rating_sum   double precision NOT NULL,
        popularity   double precision NOT NULL,
        rating       double precision
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE TABLE reviewers (
        user_id  bigint PRIMARY KEY,
        username text NOT NULL,
        version  bigint NOT NULL
    )
    """,
    """
    CREATE TABLE reviews (
        id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        movie_id   bigint NOT NULL REFERENCES movies ON DELETE CASCADE,
        user_id    bigint,
        title      text NOT NULL,
        body       text NOT NULL,
        rating     double precision NOT NULL CHECK (rating BETWEEN 1 AND 10),
        spoiler    boolean NOT NULL,
        likes      integer NOT NULL DEFAULT 0 CHECK (likes >= 0),
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT reviews_one_each UNIQUE (movie_id, user_id)
    )
    """,
    "CREATE INDEX reviews_newest ON reviews (movie_id, id DESC)",
    "CREATE INDEX reviews_rating ON reviews (movie_id, rating)",
    "CREATE INDEX reviews_user ON reviews (user_id, id DESC)",
    """
    CREATE TABLE review_likes (
        review_id bigint NOT NULL REFERENCES reviews ON DELETE CASCADE,
        user_id   bigint NOT NULL,
        PRIMARY KEY (review_id, user_id)
    )
    """,
    "CREATE INDEX review_likes_user ON review_likes (user_id)",
)

# The same query without the index where this PostgreSQL has no pg_trgm, or we may not create it.
TITLE_INDEX = """
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX movies_title ON movies USING gin (title gin_trgm_ops) WITH (fastupdate = off);
EXCEPTION
    WHEN feature_not_supported OR undefined_file OR insufficient_privilege THEN
        RAISE NOTICE 'pg_trgm is not to be had here: searching titles by a part of them reads them all';
END
$$
"""


def upgrade() -> None:
    for statement in (*TABLES, TITLE_INDEX, *SCHEMA_1):
        op.execute(statement)


def downgrade() -> None:
    for table in ("review_likes", "reviews", "reviewers", "movie_stats", "movies"):
        op.execute(f"DROP TABLE {table}")
    for statement in DROP_1:
        op.execute(statement)
