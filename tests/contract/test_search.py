"""Search: the filters, the full text, and what it forgives."""

from __future__ import annotations

import random
import string
from typing import Any

import pytest

from tests.clients import Account, Api
from tests.contract.expect import get, ids, unique, walk

SEARCH = "/api/movies/search"


def word(length: int = 10) -> str:
    """A word of letters that nothing else on the platform holds."""
    return "".join(random.choices(string.ascii_lowercase, k=length))


def found(api: Api, **filters: Any) -> set[int]:
    return set(ids(get(api, SEARCH, limit=1000, **filters)["data"]))


def test_search_answers_movies_as_they_are_shown_alone(anyone: Api, alice: Account) -> None:
    mark = unique()
    movie = alice.api.create_movie(title=mark, rating=7.5, genre="Drama", release_date="1999-03-31")
    body = get(anyone, SEARCH, title=mark)
    assert set(body) >= {"message", "data"}
    assert body["data"] == [get(anyone, f"/api/movies/{movie}")]


def test_search_without_filters_finds_everything(anyone: Api, movie: int) -> None:
    assert movie in ids(walk(anyone, SEARCH, limit=1000))


def test_search_that_finds_nothing_is_empty(anyone: Api) -> None:
    body = get(anyone, SEARCH, title=unique())
    assert body["data"] == []
    assert not body.get("next_cursor")


@pytest.fixture(scope="module")
def titled(alice: Account) -> tuple[str, int]:
    """A mark, and the movie with it in the middle of its title."""
    mark = unique("Mark")
    return mark, alice.api.create_movie(title=f"The {mark} 100%_ Ünïque É\\ End")


@pytest.mark.parametrize(
    "part",
    [
        *["{mark}", "The {mark} 100%_", "{mark} 100%", "  {mark}  "],
        *["{mark} 100%_ ünïque é", "{mark} 100%_ ÜNÏQUE É\\"],
    ],
)
@pytest.mark.parametrize("spell", [str, str.upper, str.lower], ids=["same", "upper", "lower"])
def test_title_finds_a_part_whatever_its_case(
    anyone: Api, titled: tuple[str, int], part: str, spell: Any
) -> None:
    mark, movie = titled
    assert found(anyone, title=spell(part.format(mark=mark))) == {movie}


@pytest.mark.parametrize(
    "part",
    [
        "The%{mark}",
        "_he {mark}",
        "{mark} 1__%",
        "{mark}%End",
        "{mark} 100_",
        "{mark}.*",
        "{mark}\\",
        "{mark}''",
    ],
)
def test_title_is_taken_literally(anyone: Api, titled: tuple[str, int], part: str) -> None:
    assert found(anyone, title=part.format(mark=titled[0])) == set()


def test_director_finds_a_part_whatever_its_case(anyone: Api, alice: Account) -> None:
    name = word()
    movie = alice.api.create_movie(director=f"Sofia {name.title()} 100%")
    assert found(anyone, director=f"SOFIA {name}") == {movie}
    assert found(anyone, director=f"{name} 100%") == {movie}
    assert found(anyone, director=f"Sofia%{name}") == set()


def test_genre_finds_one_member_whatever_its_case(anyone: Api, alice: Account) -> None:
    mark = word()
    movie = alice.api.create_movie(genre=f"Action, Film {mark.title()}, Éros {mark}")
    for genre in (f"film {mark}", f"FILM {mark.upper()}", f"  Film {mark} ", f"éros {mark}", f"ÉROS {mark}"):
        assert found(anyone, genre=genre) == {movie}


@pytest.mark.parametrize(
    "genre", ["{mark}", "Film", "Film {part}", "Action, Film {mark}", "%{mark}", "Film_{mark}"]
)
def test_genre_does_not_find_a_part_of_a_member(anyone: Api, alice: Account, genre: str) -> None:
    mark = word()
    movie = alice.api.create_movie(genre=f"Action, Film {mark}")
    assert movie not in found(anyone, genre=genre.format(mark=mark, part=mark[:-1]))


def test_genre_follows_a_change(anyone: Api, alice: Account) -> None:
    old, new = word(), word()
    movie = alice.api.create_movie(genre=old)
    alice.api.put(f"/api/movies/{movie}", {"genre": new})
    assert found(anyone, genre=old) == set()
    assert found(anyone, genre=new) == {movie}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, {"unrated", "poor", "good", "best"}),
        ({"min_rating": "7.5"}, {"good", "best"}),
        ({"min_rating": "7.51"}, {"best"}),
        ({"max_rating": "7.5"}, {"poor", "good"}),
        ({"min_rating": "7.5", "max_rating": "7.5"}, {"good"}),
        ({"min_rating": "0", "max_rating": "10"}, {"poor", "good", "best"}),
        ({"min_rating": "9", "max_rating": "8"}, set()),
        ({"year_from": "1990"}, {"good", "best"}),
        ({"year_to": "1990"}, {"poor", "good"}),
        ({"year_from": "1990", "year_to": "1990"}, {"good"}),
        ({"year_from": "2000", "year_to": "1980"}, set()),
        ({"year_from": "1", "year_to": "9999"}, {"poor", "good", "best"}),
        ({"kind": "tv"}, {"poor"}),
        ({"kind": "movie"}, {"unrated", "good", "best"}),
        ({"kind": "movie", "min_rating": "5", "year_to": "1995"}, {"good"}),
        ({"genre": "drama", "kind": "movie"}, {"good"}),
    ],
    ids=str,
)
def test_filters_narrow_together(
    anyone: Api, catalogue: tuple[str, dict[str, int]], filters: dict[str, str], expected: set[str]
) -> None:
    mark, movies = catalogue
    assert found(anyone, title=mark, **filters) == {movies[name] for name in expected}


@pytest.fixture(scope="module")
def catalogue(alice: Account) -> tuple[str, dict[str, int]]:
    """A mark in the titles of four movies, and their ids by name."""
    mark = unique()
    rows: dict[str, dict[str, Any]] = {
        "unrated": {},
        "poor": {"rating": 2, "release_date": "1985-12-31", "kind": "tv", "genre": "Drama"},
        "good": {"rating": 7.5, "release_date": "1990-01-01", "genre": "War, Drama"},
        "best": {"rating": 10, "release_date": "2020-06-01", "genre": "War"},
    }
    movies = {name: alice.api.create_movie(title=f"{mark} {name}", **row) for name, row in rows.items()}
    return mark, movies


@pytest.fixture(scope="module")
def written(alice: Account) -> tuple[dict[str, str], dict[str, int]]:
    """Words, by where they stand, and the movies with them, by the same names."""
    words = {"title": word(), "director": word(), "description": word()}
    movies = {field: alice.api.create_movie(**{field: f"Some {text} here"}) for field, text in words.items()}
    return words, movies


@pytest.mark.parametrize("field", ["title", "director", "description"])
@pytest.mark.parametrize("spell", [str, str.upper], ids=["same", "upper"])
def test_q_finds_a_word_of_each_text(
    anyone: Api, written: tuple[dict[str, str], dict[str, int]], field: str, spell: Any
) -> None:
    words, movies = written
    assert found(anyone, q=spell(words[field])) == {movies[field]}


def test_q_finds_the_words_in_any_order_and_place(anyone: Api, alice: Account) -> None:
    one, two = word(), word()
    both = alice.api.create_movie(title=f"The {one}", director=two.title())
    alice.api.create_movie(title=one)
    assert found(anyone, q=f"{two} {one}") == {both}


def test_q_puts_a_title_before_a_description(anyone: Api, alice: Account) -> None:
    mark = word()
    described = alice.api.create_movie(description=f"A film about {mark}")
    titled = alice.api.create_movie(title=mark)
    assert ids(get(anyone, SEARCH, q=mark)["data"]) == [titled, described]


def test_q_follows_a_change(anyone: Api, alice: Account) -> None:
    old, new = word(), word()
    movie = alice.api.create_movie(title=old)
    alice.api.put(f"/api/movies/{movie}", {"title": new})
    assert found(anyone, q=new) == {movie}
    assert movie not in found(anyone, q=old)


def test_q_narrows_with_filters(anyone: Api, alice: Account) -> None:
    mark = word()
    show, _ = (alice.api.create_movie(title=mark, kind=kind) for kind in ("tv", "movie"))
    assert found(anyone, q=mark, kind="tv") == {show}


@pytest.mark.parametrize(
    "typo", ["{0}x{1}", "{0}{1}{1}", "{half}", "x{0}{1}"], ids=["more", "twice", "less", "before"]
)
@pytest.mark.parametrize("field", ["title", "director"])
def test_q_forgives_a_typo(anyone: Api, alice: Account, field: str, typo: str) -> None:
    begin, end = word(8), word(3)
    movie = alice.api.create_movie(**{field: f"The {begin}{end}"})
    misspelt = typo.format(begin, end[:1] + end[1:], half=begin + end[:-1])
    assert movie in found(anyone, q=misspelt)


def test_q_forgives_letters_that_changed_places(anyone: Api, alice: Account) -> None:
    mark = "".join(random.sample(string.ascii_lowercase, 12))
    movie = alice.api.create_movie(title=mark)
    assert movie in found(anyone, q=mark[:5] + mark[6] + mark[5] + mark[7:])


def test_q_finds_accents_written_without(anyone: Api, alice: Account) -> None:
    mark = word(8)
    movie = alice.api.create_movie(title=f"Amé{mark}lïe")
    assert movie in found(anyone, q=f"ame{mark}lie")


def test_q_finds_accents_as_they_are(anyone: Api, alice: Account) -> None:
    mark = word(8)
    movie = alice.api.create_movie(title=f"Amé{mark}lïe")
    assert found(anyone, q=f"AMÉ{mark}LÏE") == {movie}


def test_q_does_not_find_what_is_not_alike(anyone: Api, movie: int) -> None:
    assert movie not in found(anyone, q=word(12))


@pytest.mark.parametrize("q", ["!!!", "& | !", "()", '"', "-", ":*", "'", "\\", "— …"])
def test_q_of_nothing_but_punctuation_finds_nothing(anyone: Api, movie: int, q: str) -> None:
    assert found(anyone, q=q) == set()


@pytest.mark.parametrize(
    "q",
    [
        "foo & | bar",
        "a:b:*",
        '"open',
        "-",
        "or",
        "and not",
        "'; DROP TABLE movies; --",
        "the",
        "\U0001f3ac",
        "七",
    ],
)
def test_q_takes_whatever_is_typed(anyone: Api, q: str) -> None:
    assert isinstance(get(anyone, SEARCH, q=q)["data"], list)
