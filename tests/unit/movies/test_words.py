from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from movies.domain import ALIKE, genres, likeness, trigrams, words


@pytest.mark.parametrize(
    ("genre", "members"),
    [
        ("Action, Crime, Drama", ["Action", "Crime", "Drama"]),
        ("  Film   Noir ,drama", ["Film Noir", "drama"]),
        ("Drama, DRAMA, drama", ["Drama"]),
        (" , ,", []),
        ("", []),
    ],
)
def test_a_genre_is_a_list_without_blanks_and_repetition(genre: str, members: list[str]) -> None:
    assert genres(genre) == members


def test_words_have_neither_case_nor_accents() -> None:
    assert words("Amélie, ou: LE fabuleux DESTIN") == ["amelie", "ou", "le", "fabuleux", "destin"]


def test_trigrams_are_those_of_pg_trgm() -> None:
    # SELECT show_trgm('Cat in') on PostgreSQL 15.
    assert trigrams("Cat in") == ["  c", "  i", " ca", " in", "at ", "cat", "in "]


@given(st.text(max_size=60))
def test_any_text_has_trigrams_of_three_characters(text: str) -> None:
    assert all(len(trigram) == 3 for trigram in trigrams(text))


@pytest.mark.parametrize(
    ("misspelt", "title"),
    [
        ("godfahter", "The Godfather"),
        ("matirx", "The Matrix"),
        ("pulp fictoin", "Pulp Fiction"),
        ("amelie", "Amélie"),
        ("incepton", "Inception"),
        ("shawshak redemtion", "The Shawshank Redemption"),
    ],
)
def test_a_typo_is_forgiven(misspelt: str, title: str) -> None:
    assert likeness(misspelt, title) >= ALIKE


@pytest.mark.parametrize(
    ("wanted", "title"), [("godfahter", "City of God"), ("matirx", "Match Point"), ("", "Alien")]
)
def test_another_word_is_not_a_typo(wanted: str, title: str) -> None:
    assert likeness(wanted, title) < ALIKE
