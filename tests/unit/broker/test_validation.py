from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth import commands as auth
from broker.errors import Invalid
from broker.validation import MAX_ID, check_id, check_key, is_storable, parse
from movies import commands as movies

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MODELS = [
    auth.Register,
    auth.Login,
    auth.UpdateProfile,
    movies.CreateMovie,
    movies.UpdateMovie,
    movies.CreateReview,
    movies.UpdateReview,
    movies.Search,
    movies.ReviewPage,
]


def reasons(model: Any, data: object) -> dict[str, str]:
    with pytest.raises(Invalid) as raised:
        parse(model, data)
    return raised.value.errors


@pytest.mark.parametrize("model", MODELS)
@given(data=st.data())
def test_whatever_comes_is_accepted_or_invalid_and_nothing_else(model: Any, data: st.DataObject) -> None:
    fields = st.sampled_from([*model.model_fields, "unknown"])
    try:
        parse(model, data.draw(anything | st.dictionaries(fields, anything, max_size=8)))
    except Invalid as error:
        assert error.errors


def test_every_field_at_fault_is_named() -> None:
    body = {"title": 7, "rating": "high", "release_date": "2023-02-29", "colour": "red"}
    assert reasons(movies.CreateMovie, body) == {
        "title": "must be a string",
        "rating": "must be a number",
        "release_date": "must be a date that exists",
        "colour": "is not a known field",
    }


@pytest.mark.parametrize(
    ("sent", "meant"),
    [("titel", "title"), ("Title", "title"), ("relase_date", "release_date"), ("genres", "genre")],
)
def test_an_unknown_name_is_answered_with_the_nearest_known_one(sent: str, meant: str) -> None:
    found = reasons(movies.CreateMovie, {"title": "A", sent: "B"})
    assert found == {sent: f"is not a known field; did you mean {meant}?"}


@pytest.mark.parametrize("model", MODELS)
def test_more_than_64_fields_are_one_error(model: Any) -> None:
    body = {f"title{number}": "x" for number in range(65)}
    found = reasons(model, body)
    assert len(found) == 1
    assert next(iter(found)) in ("body", "query")
    del body["title64"]
    assert len(reasons(model, body)) == 20


def test_twenty_errors_are_named_and_the_others_counted() -> None:
    with pytest.raises(Invalid) as raised:
        parse(movies.CreateMovie, {f"unknown{number}": number for number in range(64)})
    assert next(iter(raised.value.errors)) == "title"
    assert len(raised.value.errors) == 20
    assert raised.value.message == "Some fields are not valid, and 45 more"
    with pytest.raises(Invalid) as raised:
        parse(movies.CreateMovie, {f"unknown{number}": "\x00" for number in range(64)})
    assert len(raised.value.errors) == 20


@pytest.mark.parametrize("name", ["x" * 500_000, "\U0001f600" * 100_000, "\ud800" * 1000, "\x00" * 65])
@pytest.mark.parametrize("value", ["x", "\x00", ["x"] * 1000, {"x": 1}, None])
def test_a_name_is_repeated_in_part(name: str, value: object) -> None:
    for field, reason in reasons(movies.CreateMovie, {"title": "A", name: value}).items():
        assert len(field) <= 65
        assert len(reason) < 200
        field.encode()


@pytest.mark.parametrize(
    "body",
    [
        {f"key{number}": 1 for number in range(60_000)},
        {"title": "A", **{("k" * 30_000) + str(number): 1 for number in range(60)}},
        {f"key{number}": "\U0001f600" * 8_000 for number in range(64)},
        {"title": [[["x"] * 100] * 100] * 20, "rating": [["x"] * 1000] * 100},
        {"title": "x" * 1_000_000, "description": "\U0001f600" * 250_000},
    ],
    ids=["names", "long names", "texts", "lists", "long texts"],
)
def test_what_a_body_costs_is_not_the_clients_to_decide(body: dict[str, Any]) -> None:
    began = time.process_time()
    errors = reasons(movies.CreateMovie, body)
    assert time.process_time() - began < 0.1
    assert sum(len(field) + len(reason) for field, reason in errors.items()) < 10_000


@pytest.mark.parametrize("text", ["", "a", "é", "\U0001f600", "\x01", "\ud7ff", "\ue000", "\uffff"])
def test_what_a_database_holds_is_storable(text: str) -> None:
    assert is_storable(text)


@pytest.mark.parametrize("text", ["\x00", "a\x00", "\ud800", "a\udfffb", "\udc80\x00"])
def test_what_it_does_not_is_not(text: str) -> None:
    assert not is_storable(text)


@pytest.mark.parametrize("rating", [float("nan"), float("inf"), -0.5, 10.5, True, "8", 10**400])
def test_a_prior_is_a_finite_number_from_0_to_10(rating: object) -> None:
    assert "rating" in reasons(movies.CreateMovie, {"title": "A", "rating": rating})


@pytest.mark.parametrize("rating", [0.5, 10.5, 7.3, None, False])
def test_a_review_has_1_to_10_stars_in_halves(rating: object) -> None:
    assert "rating" in reasons(movies.CreateReview, {"title": "A", "rating": rating})


@pytest.mark.parametrize(
    "day", ["2023-02-29", "2023-2-1", "20230201", "0000-01-01", "２０２３-01-01", 20230201]
)
def test_a_release_date_exists(day: object) -> None:
    assert "release_date" in reasons(movies.CreateMovie, {"title": "A", "release_date": day})


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"])
def test_what_the_database_cannot_hold_is_refused(text: str) -> None:
    assert reasons(movies.CreateMovie, {"title": text}) == {"title": "must not hold NUL or broken characters"}


def test_blanks_around_a_line_go_and_nothing_else_remains_is_empty() -> None:
    assert parse(movies.CreateMovie, {"title": "  Alien "}).title == "Alien"
    assert reasons(movies.CreateMovie, {"title": "   "}) == {"title": "must not be empty"}


@pytest.mark.parametrize(
    ("model", "body", "reasons_given"),
    [
        (movies.CreateMovie, {"title": "x" * 301}, {"title": "must have at most 300 characters"}),
        (
            movies.CreateMovie,
            {"title": "A", "director": "e\u0301" * 301},
            {"director": "must have at most 300 characters"},
        ),
        (
            auth.UpdateProfile,
            {"password": "a\u0308" * 4},
            {"password": "must have at least 8 character(s)"},
        ),
        (auth.Register, {"username": "ab", "email": "x"}, {"username": "must have 3 to 32 characters"}),
    ],
)
def test_what_is_too_long_or_too_short_is_told_in_our_words(
    model: Any, body: dict[str, str], reasons_given: dict[str, str]
) -> None:
    assert reasons_given.items() <= reasons(model, body).items()


def test_a_decomposed_text_is_as_long_as_what_it_composes_to() -> None:
    assert len(parse(movies.CreateMovie, {"title": "e\u0301" * 300}).title) == 300


def test_an_update_of_nothing_is_invalid() -> None:
    with pytest.raises(Invalid):
        parse(movies.UpdateMovie, {}).changes()


def test_an_update_knows_what_was_sent() -> None:
    assert parse(movies.UpdateMovie, {"rating": None}).changes() == {"rating": None}


def test_an_updated_title_is_not_empty_either() -> None:
    assert "title" in reasons(movies.UpdateMovie, {"title": ""})


@pytest.mark.parametrize("value", [1, MAX_ID])
def test_an_id_is_a_positive_number(value: int) -> None:
    assert check_id(value) == value


@pytest.mark.parametrize("value", [0, -1, MAX_ID + 1, True, "1", 1.0, None])
def test_what_is_no_id_is_invalid(value: object) -> None:
    with pytest.raises(Invalid) as raised:
        check_id(value, "movie_id")
    assert set(raised.value.errors) == {"movie_id"}


@pytest.mark.parametrize("key", ["x", "x" * 255, "!~", '"8e03978e-40d5-43dd-bc93-6894a57f9324"'])
def test_a_key_is_visible_ascii(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "a\n", "a\x00", "é", "\x7f", 7, None, True, ["x"]])
def test_what_is_no_key_is_invalid(key: object) -> None:
    with pytest.raises(Invalid) as raised:
        check_key(key, "Idempotency-Key")
    assert set(raised.value.errors) == {"Idempotency-Key"}
