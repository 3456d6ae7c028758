"""A stock Nameko service: `@rpc` and SQLAlchemy's ORM-less core, all defaults."""

import os

from nameko.rpc import rpc
from sqlalchemy import create_engine, text

from tests.bench.echo import MOVIE

ENGINE = create_engine(os.environ["MOVIES_DATABASE_URL"])
QUERY = text(
    """
    SELECT m.id, title, description, genre, poster_url, release_date, kind, director, prior, created_at,
           updated_at, review_count, rating_sum, rating
    FROM movies m JOIN movie_stats s ON s.movie_id = m.id WHERE m.id = :id
    """
)


class StockMovies:
    name = "stock_movies"

    @rpc
    def echo(self, movie_id):
        return MOVIE | {"id": movie_id}

    @rpc
    def get(self, movie_id):
        with ENGINE.connect() as connection:
            row = connection.execute(QUERY, {"id": movie_id}).one()
        movie = dict(row._mapping)
        for name in ("release_date", "created_at", "updated_at"):
            movie[name] = movie[name] and movie[name].isoformat()
        return movie
