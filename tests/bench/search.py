"""What searches cost: medians over a catalogue of generated films, one at a time, with nothing cached.

    python -m tests.bench.search [--films 100000] [--titles]

`--titles`: besides, the shares of queries from all titles of a real catalogue that find their film.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import string
import time
from datetime import date
from typing import Any

from broker.database import Transaction, engine
from movies.commands import Search
from movies.handlers.movies import search
from movies.sample import CATALOGUE
from movies.storage import movies as storage
from tests import titles
from tests.platforms import Databases
from tests.processes import PROGRAMS, run
from tests.servers import Postgres

ROUNDS = 15
LETTERS = " ".join(string.ascii_lowercase[number % 26] for number in range(150))
# Films that consist of such words.
OF_LETTERS = 50

QUERIES: dict[str, dict[str, Any]] = {
    "q, one word": {"q": "love"},
    "q, two words": {"q": "dark city"},
    "q, an article": {"q": "the"},
    "q, four common words": {"q": "man of the night"},
    "q, a title": {"q": "the godfather"},
    "q, title and year": {"q": "the godfather 1972"},
    "q, unfinished": {"q": "lord of the ri"},
    "q, misspelt": {"q": "godfahter"},
    "q, two words misspelt": {"q": "shawshak redemtion"},
    "q, nothing like it": {"q": "qxzwvk jjkqz"},
    "q, 150 letters": {"q": LETTERS},
    "q, 33 hyphens": {"q": "-" * 33},
    "q, two words, by title": {"q": "dark city", "sort": "title"},
    "q, one word, one genre": {"q": "love", "genre": "drama"},
    "part of a title": {"title": "father"},
    "one genre": {"genre": "drama"},
    "newest": {"sort": "newest"},
    "by title": {"sort": "title"},
}


class NoCache:
    """Of what `handlers.movies.Cache` is: none is there."""

    def key(self, _kind: str, _asked: dict[str, Any]) -> str | None:
        return None

    def get(self, _key: str | None) -> Any:
        return None

    def put(self, _key: str | None, _page: Any) -> None: ...

    def invalidate(self) -> None: ...


class Generator:
    """Films of words of real titles, directors and descriptions; the same ones for the same number."""

    def __init__(self) -> None:
        self._chance = random.Random(1)
        self._titles = [film.title for film in titles.FILMS]
        self._words = sorted({word for title in self._titles for word in title.split()})
        self._directors = sorted({film.director for film in titles.FILMS if film.director})
        sample = json.loads(CATALOGUE.read_text(encoding="utf-8"))["movies"]
        self._prose = [word for film in sample for word in film["description"].split()]

    def film(self) -> dict[str, Any]:
        chance = self._chance
        words = " ".join(chance.choices(self._words, k=chance.randint(1, 5)))
        title = words[:300] if chance.random() < 0.8 else chance.choice(self._titles)
        director = chance.choice(self._directors).split()[:1] + chance.choice(self._directors).split()[-1:]
        return titles.fields(
            title,
            director=" ".join(director),
            description=" ".join(chance.choices(self._prose, k=chance.randint(10, 60))),
            rating=round(chance.uniform(2, 9.5), 1),
            genre=chance.choice(["Drama", "Action, Crime", "Comedy, Romance", "Drama, War"]),
            release_date=date(chance.randint(1930, 2024), chance.randint(1, 12), 1),
        )


def load(transaction: Transaction, films: int) -> float:
    """Add so many films without the indexes, which are made anew after them; the seconds that a film took."""
    generator = Generator()
    with transaction() as session:
        connection = session.connection()
        indexes = connection.exec_driver_sql(
            "SELECT indexname, indexdef FROM pg_indexes"
            " WHERE tablename = 'movies' AND indexname <> 'movies_pkey'"
        ).all()
        for name, _ in indexes:
            connection.exec_driver_sql(f"DROP INDEX {name}")
        began = time.perf_counter()
        for _ in range(films):
            storage.add(session, generator.film(), None, titles.NOW)
        took = time.perf_counter() - began
        for _ in range(OF_LETTERS):
            storage.add(
                session, titles.fields(LETTERS, director=LETTERS, description=LETTERS), None, titles.NOW
            )
        for _, definition in indexes:
            connection.exec_driver_sql(definition)
    return took / films


def measure(transaction: Transaction) -> None:
    for name, asked in QUERIES.items():
        command = Search(**{"limit": 20, **asked})
        taken, found = [], 0
        for _ in range(ROUNDS):
            began = time.perf_counter()
            found = len(search(transaction, NoCache(), command)["data"])
            taken.append(time.perf_counter() - began)
        median, worst = statistics.median(taken) * 1000, max(taken) * 1000
        print(f"{name:26} {median:8.1f} ms, worst {worst:8.1f} ms, {found} films", flush=True)


def add_singly(transaction: Transaction) -> float:
    """The median seconds that a film takes, with the indexes there."""
    generator, taken = Generator(), []
    for _ in range(200):
        began = time.perf_counter()
        with transaction() as session:
            storage.add(session, generator.film(), None, titles.NOW)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=100_000)
    parser.add_argument("--titles", action="store_true")
    arguments = parser.parse_args()
    with Postgres() as server:
        databases = Databases.create(server.url)
        migrated = run(
            [PROGRAMS / "alembic", "-n", "movies", "upgrade", "head"],
            {"MOVIES_DATABASE_URL": databases.movies},
        )
        assert migrated.returncode == 0, migrated.stderr
        bind = engine(databases.movies, pool_size=1)
        transaction = Transaction(bind, seconds=600)
        if arguments.titles:
            titles.load(transaction)
            for kind in titles.QUERIES:
                print(f"{kind:32} {titles.shares(transaction, kind)}", flush=True)
        with transaction.reading() as reader:
            reader.exec_driver_sql("SET statement_timeout = 0")
        seconds = load(transaction, arguments.films)
        with transaction.reading() as reader:
            reader.exec_driver_sql("VACUUM (ANALYZE)")
        print(f"{arguments.films} films; {seconds * 1e6:.0f} µs to add one without its indexes")
        measure(transaction)
        print(f"{'a new film':26} {add_singly(transaction) * 1000:8.1f} ms")
        bind.dispose()


if __name__ == "__main__":
    main()
