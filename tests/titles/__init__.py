"""All titles of a real catalogue, faults included, and the queries that people would make of them.

`films.json` is from movies.json of the npm package vega-datasets 2.11.0 (BSD-3-Clause, by the vega-datasets
authors; see also movies/sample/ATTRIBUTION.md), without the columns that are not used here.
"""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from broker.database import Transaction
from movies.commands import Search
from movies.storage import movies as storage
from movies.storage.search import search

ROWS = json.loads(Path(__file__).with_name("films.json").read_text(encoding="utf-8"))["films"]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
# Of a year nothing else is known.
DAY = (7, 1)


@dataclass(frozen=True)
class Film:
    title: str
    year: int
    director: str
    genre: str
    votes: int
    rating: float | None


FILMS = [Film(*row) for row in ROWS]


def fields(title: str, **more: Any) -> dict[str, Any]:
    """A film of this title, as `movies.storage.movies.add` takes it."""
    empty = {"description": "", "rating": None, "genre": "", "director": "", "poster_url": ""}
    return {"title": title, "release_date": None, "kind": "movie", **empty, **more}


def load(transaction: Transaction) -> None:
    """Add all films, in one transaction."""
    with transaction() as session:
        for film in FILMS:
            more = {"rating": film.rating, "genre": film.genre, "director": film.director}
            storage.add(session, fields(film.title, release_date=date(film.year, *DAY), **more), None, NOW)


def place(transaction: Transaction, film: Film, q: str) -> int | None:
    """Where among the first ten films that `q` finds one of this title stands, from 1."""
    with transaction.reading() as reader:
        rows, _ = search(reader, Search(q=q, limit=10))
    titles = [row.title for row in rows]
    return titles.index(film.title) + 1 if film.title in titles else None


def _exact(film: Film, chance: random.Random) -> str:
    return film.title


def _plain(film: Film, chance: random.Random) -> str:
    """Without accents and punctuation, which become nothing or a blank."""
    letters = unicodedata.normalize("NFKD", film.title)
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    plain = " ".join(re.sub(r"[^\w\s]|_", chance.choice(["", " "]), letters).split())
    return plain or film.title


def _wrong(film: Film, chance: random.Random) -> str:
    at = _letter(film.title, chance)
    others = ascii_lowercase.replace(film.title[at].lower(), "")
    return film.title[:at] + chance.choice(others) + film.title[at + 1 :]


def _missing(film: Film, chance: random.Random) -> str:
    at = _letter(film.title, chance)
    return film.title[:at] + film.title[at + 1 :]


def _swapped(film: Film, chance: random.Random) -> str:
    """Two neighbouring letters, if there are two that differ."""
    title = film.title
    pairs = [
        at for at in range(len(title) - 1) if title[at : at + 2].isalnum() and title[at] != title[at + 1]
    ]
    if not pairs:
        return title
    at = chance.choice(pairs)
    return title[:at] + title[at + 1] + title[at] + title[at + 2 :]


def _with_year(film: Film, chance: random.Random) -> str:
    return f"{film.title} {film.year}"


def _unfinished(film: Film, chance: random.Random) -> str:
    """The first 60 % of the letters, three at least."""
    return film.title[: max(3, round(0.6 * len(film.title)))]


def _letter(title: str, chance: random.Random) -> int:
    return chance.choice([at for at, letter in enumerate(title) if letter.isalnum()])


QUERIES: dict[str, Callable[[Film, random.Random], str]] = {
    "exact": _exact,
    "without accents and punctuation": _plain,
    "one letter wrong": _wrong,
    "one letter missing": _missing,
    "two letters swapped": _swapped,
    "title and year": _with_year,
    "unfinished": _unfinished,
}


@dataclass(frozen=True)
class Shares:
    """How many queries there were, and the shares whose film came first, among three, and among ten."""

    queries: int
    first: float
    three: float
    ten: float

    def __str__(self) -> str:
        places = f"{self.first:6.1%} first, {self.three:6.1%} among three, {self.ten:6.1%} among ten"
        return f"{self.queries:5} queries: {places}"


def shares(transaction: Transaction, kind: str, every: int = 1, seed: int = 1) -> Shares:
    """What queries of a `kind` find, made of each `every`th title; the same ones for the same `seed`."""
    chance = random.Random(seed)
    asked = [(film, QUERIES[kind](film, chance)) for film in FILMS[::every]]
    places = [place(transaction, film, q) or 11 for film, q in asked if q.strip()]
    first, three, ten = (sum(at <= most for at in places) / len(places) for most in (1, 3, 10))
    return Shares(len(places), first, three, ten)
