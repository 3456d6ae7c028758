"""Movies and reviews as REST and the events give them."""

from typing import Any

from sqlalchemy import Row

from broker import events
from broker.clock import iso


def movie(row: Row[Any]) -> dict[str, Any]:
    """A movie of `storage.movies` as a JSON object."""
    return {
        "id": row.id,
        "title": row.title,
        "description": row.description,
        "rating": row.rating,
        "genre": row.genre,
        "poster_url": row.poster_url,
        "release_date": row.release_date.isoformat() if row.release_date else None,
        "kind": row.kind,
        "director": row.director,
        "average_rating": row.rating_sum / row.review_count if row.review_count else None,
        "review_count": row.review_count,
        "created_at": iso(row.created_at),
        "updated_at": iso(max(row.created_at, row.updated_at)),
    }


def suggestion(row: Row[Any]) -> dict[str, Any]:
    """A movie of `storage.search.suggest` as a JSON object."""
    year = row.release_date.year if row.release_date else None
    return {"id": row.id, "title": row.title, "year": year, "kind": row.kind}


def review(row: Row[Any]) -> dict[str, Any]:
    """A review of `storage.reviews` as a JSON object."""
    return {
        "id": row.id,
        "movie_id": row.movie_id,
        "user_id": row.user_id,
        "username": row.username,
        "title": row.title,
        "body": row.body,
        "rating": row.rating,
        "spoiler": row.spoiler,
        "likes": row.likes,
        "created_at": iso(row.created_at),
        "updated_at": iso(max(row.created_at, row.updated_at)),
    }


def movie_event(kind: type[events.MovieEvent], row: Row[Any], version: int) -> events.MovieEvent:
    return kind(version=version, movie=events.Movie(**movie(row)))


def review_event(
    kind: type[events.ReviewEvent], review_row: Row[Any], movie_row: Row[Any], version: int
) -> events.ReviewEvent:
    reference = events.MovieReference(id=movie_row.id, title=movie_row.title, genre=movie_row.genre)
    return kind(version=version, movie=reference, review=events.Review(**review(review_row)))
