"""What films must be, whatever else they are looked for by."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Select, text

from broker.text import folded
from movies.commands import Search


@dataclass(frozen=True)
class Filters:
    """Conditions of SQL on `movies` and on `movie_stats`, and the values that they name."""

    movies: tuple[str, ...] = ()
    stats: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, asked: Search) -> "Filters":
        possible = (
            ("movies.title_key LIKE :title", "title", asked.title and _part(asked.title)),
            ("movies.director_key LIKE :director", "director", asked.director and _part(asked.director)),
            ("movies.genres @> ARRAY[CAST(:genre AS text)]", "genre", folded(asked.genre)),
            ("movies.kind = :kind", "kind", asked.kind),
            ("movies.release_date >= :day_from", "day_from", asked.year_from and date(asked.year_from, 1, 1)),
            ("movies.release_date <= :day_to", "day_to", asked.year_to and date(asked.year_to, 12, 31)),
            ("movie_stats.rating >= :min_rating", "min_rating", asked.min_rating),
            ("movie_stats.rating <= :max_rating", "max_rating", asked.max_rating),
        )
        wanted = {name: (condition, value) for condition, name, value in possible if value not in (None, "")}
        conditions = [condition for condition, _ in wanted.values()]
        return cls(
            tuple(each for each in conditions if each.startswith("movies.")),
            tuple(each for each in conditions if each.startswith("movie_stats.")),
            {name: value for name, (_, value) in wanted.items()},
        )

    @property
    def conditions(self) -> tuple[str, ...]:
        return self.movies + self.stats

    def narrow(self, query: Select[Any]) -> Select[Any]:
        """A query of movies and their stats, for those that fit."""
        return query.where(*(text(condition) for condition in self.conditions)).params(self.values)


def _part(words: str) -> str:
    """A pattern for LIKE that a key matches which holds `words` anywhere, literally."""
    words = folded(words)
    for special in ("\\", "%", "_"):
        words = words.replace(special, "\\" + special)
    return f"%{words}%"
