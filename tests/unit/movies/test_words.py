from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from movies import words
from movies.domain import genres
from movies.storage.keys import LEXEMES, keys
from movies.storage.wanted import Wanted

texts = st.text(st.characters(blacklist_characters="\x00", blacklist_categories=["Cs"]), max_size=300)


@pytest.mark.parametrize(
    ("genre", "members"),
    [
        ("Action, Crime, Drama", ["Action", "Crime", "Drama"]),
        ("  Film   Noir ,drama", ["Film Noir", "drama"]),
        ("Drama, DRAMA, drama", ["Drama"]),
        ("Straße, STRASSE, Ｓtrasse", ["Straße"]),
        ("E\u0301ros, Éros", ["E\u0301ros"]),
        (" , ,", []),
        ("", []),
    ],
)
def test_a_genre_is_a_list_without_blanks_and_repetition(genre: str, members: list[str]) -> None:
    assert genres(genre) == members


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Amélie, ou: LE fabuleux DESTIN", "amelie ou le fabuleux destin"),
        ("It's", "its"),
        ("It’s", "its"),
        ("It´s", "its"),
        ("Rock ’n’ Roll", "rock n roll"),
        ("Thelma & Louise", "thelma and louise"),
        ("S.W.A.T.", "swat"),
        ("E.T.: The Extra-Terrestrial", "et the extra terrestrial"),
        ("L.A. Confidential", "la confidential"),
        ("M*A*S*H", "mash"),
        ("Mr. & Mrs. Smith", "mr and mrs smith"),
        ("Apollo-13", "apollo 13"),
        ("Frost/Nixon", "frost nixon"),
        ("Mission: Impossible – Fallout", "mission impossible fallout"),
        ("WALL·E", "wall e"),
        ("Se7en", "se7en"),
        ("8½", "8 1 2"),
        ("8 1/2", "8 1 2"),
        ("Alien³", "alien 3"),
        ("İSTANBUL", "istanbul"),
        ("ıstanbul", "istanbul"),
        ("Straße STRASSE", "strasse strasse"),
        ("νίκοΣ νίκος", "νικοσ νικοσ"),
        ("Ёлки", "елки"),
        ("Æon Łódź Ørsted", "aeon lodz orsted"),
        ("ﬁlm Ｆｉｌｍ", "film film"),
        ("co\u00adop\u200der", "cooper"),
        ("שָׁלוֹם", "שלום"),
        ("हिन्दी", "हिन्दी"),
        ("ガンダム・ハンター", "ガンダム ハンター"),
        ("snake_case", "snake case"),
        ("— … !!! 🎬", ""),
        ("", ""),
    ],
)
def test_words_are_what_people_type(text: str, found: str) -> None:
    assert " ".join(words.words(text)) == found


@given(texts)
def test_the_words_of_both_forms_of_a_text_are_the_same(text: str) -> None:
    assert words.words(unicodedata.normalize("NFD", text)) == words.words(unicodedata.normalize("NFC", text))


@given(texts)
def test_words_hold_nothing_that_a_tsquery_could_take_for_its_own(text: str) -> None:
    assert not set("'\\&|!():*<> \t\n\x00").intersection("".join(words.words(text)))


def test_dakuten_and_thai_vowels_tell_words_apart() -> None:
    assert words.words("ハハ") != words.words("パパ")
    assert words.words("ปา") != words.words("ปี")


def test_where_no_blanks_part_words_they_are_found_by_pairs_of_letters() -> None:
    there = set(words.lexemes(words.words("千と千尋の神隠し")))
    assert there.issuperset(words.terms(words.words("千尋")))
    assert there.issuperset(words.terms(words.words("神隠し")))
    assert not there.issuperset(words.terms(words.words("千神")))


def test_joined_it_does_not_matter_how_words_are_parted() -> None:
    for spelt in ("WALL·E", "Wall-E", "walle", "wall e", "W.A.L.L.E."):
        assert words.joined(words.words(spelt), spelt) == "walle"


def test_a_title_without_letters_is_its_signs() -> None:
    assert words.joined(words.words("$ $"), "$ $") == "$$"


def test_articles_alone_are_words() -> None:
    assert words.without_articles(["the", "the"]) == ["the", "the"]
    assert words.without_articles(["the", "third", "man"]) == ["third", "man"]


def test_compounds_are_found_as_one_word_too() -> None:
    assert "spiderman" in words.written_otherwise("The Amazing Spider-Man 2")
    assert "avventura" in words.written_otherwise("L'Avventura")


@pytest.mark.parametrize("typed", ["batmen", "batmn", "batmaan", "btaman", "xbatman", "atman", "batma"])
def test_a_slip_shares_a_number_with_the_title(typed: str) -> None:
    assert words.title_slips("batman") & words.title_slips(typed)


@pytest.mark.parametrize("typed", ["superman", "bat", "tabnam", "bxtmxn"])
def test_what_is_no_slip_shares_none(typed: str) -> None:
    assert not words.title_slips("batman") & words.title_slips(typed)


def test_a_slip_in_a_word_is_not_one_in_a_title() -> None:
    assert not words.title_slips("batman") & words.word_slips("batman")


@given(texts, texts)
def test_keys_have_bounds_whatever_the_text(title: str, director: str) -> None:
    made = keys(title, director, title * 30, "Drama")
    assert len(made["title_joined"].encode()) <= 4 * words.KEY_LETTERS
    assert len(made["spelling"]) <= words.SPELLING_LETTERS
    assert made["spelling"].isascii()
    assert len(made["slips"]) <= words.SLIPS + 2 * words.SLIP_LETTERS.stop
    assert all(
        0 < len(lexeme.encode()) <= 4 * words.WORD_LETTERS for name in LEXEMES for lexeme in made[name]
    )


@given(texts)
def test_a_query_has_bounds_whatever_is_typed(text: str) -> None:
    asked = Wanted.of(text)
    assert asked.terms.count("'") <= 2 * words.QUERY_WORDS
    assert len(asked.word_slips) <= 5
    assert len(asked.title_slips) <= 2 * words.SLIP_LETTERS.stop
    assert len(asked.joined) <= words.KEY_LETTERS


def test_the_longest_texts_take_no_time() -> None:
    began = time.process_time()
    keys("a b " * 75, "c d " * 75, "e " * 5000, "f," * 150)
    keys("漢" * 300, "\ufdfa" * 300, "\ufdfa" * 10_000, "")
    Wanted.of("'" * 300).values()
    Wanted.of(" a" * 150).values()
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("typed", "rest", "year"),
    [("Batman 1989", "batman", 1989), ("(1989) Batman", "batman", 1989), ("1941 1979", "1941", 1979)],
)
def test_a_year_at_either_end_is_also_taken_for_one(typed: str, rest: str, year: int) -> None:
    without = Wanted.of(typed).without_year
    assert without is not None
    assert (without.text, without.year) == (rest, year)


@pytest.mark.parametrize("typed", ["1984", "Alien 3", "Batman 12345", "Batman 0099", "the 1960 room", ""])
def test_what_is_no_year_is_left_where_it_is(typed: str) -> None:
    assert Wanted.of(typed).without_year is None


def test_the_last_word_may_be_unfinished_and_short_words_may_not() -> None:
    assert Wanted.of("of mice an").terms == "'of' & 'mice':* & 'an':*"
    assert Wanted.of("a b").terms == "'a' & 'b'"
    assert Wanted.of("千").terms == "'千':*"
