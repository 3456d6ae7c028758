"""Bodies that are no JSON, no object, or JSON that no honest client sends: 400, never 500."""

from __future__ import annotations

import pytest

from tests.clients import Account, Api
from tests.contract.expect import assert_error

JSON = {"Content-Type": "application/json"}

NOT_AN_OBJECT = {
    "nothing": b"",
    "blanks": b"   ",
    "null": b"null",
    "list": b"[]",
    "list of objects": b'[{"title": "X"}]',
    "text": b'"title"',
    "number": b"5",
    "true": b"true",
    "cut off": b'{"title": "X"',
    "single quotes": b"{'title': 'X'}",
    "trailing comma": b'{"title": "X",}',
    "two objects": b'{"title": "X"}{"title": "Y"}',
    "comment": b'{"title": "X"} // yes',
    "form": b"title=X",
    "xml": b"<title>X</title>",
    "broken UTF-8": b'{"title": "\xff\xfe"}',
    "cut UTF-8": b'{"title": "\xc3"}',
    "overlong UTF-8": b'{"title": "\xc0\xaf"}',
    "UTF-8 surrogate": b'{"title": "\xed\xa0\x80"}',
    "UTF-16": '{"title": "X"}'.encode("utf-16"),
    "lone surrogate": rb'{"title": "\ud800"}',
    "lone low surrogate": rb'{"title": "\udc00"}',
    "lone surrogate in a name": rb'{"title": "X", "\ud800": 1}',
    "raw NUL": b'{"title": "a\x00b"}',
    "NULs": b"\x00" * 100,
    "raw line break": b'{"title": "a\nb"}',
    "NaN": b'{"title": "X", "rating": NaN}',
    "Infinity": b'{"title": "X", "rating": Infinity}',
    "-Infinity": b'{"title": "X", "rating": -Infinity}',
    "leading zero": b'{"title": "X", "rating": 08}',
    "hexadecimal": b'{"title": "X", "rating": 0x8}',
    "4,000 deep": b'{"title": ' + b"[" * 4_000 + b"]" * 4_000 + b"}",
    "8,000 open": b'{"title": ' + b"[" * 8_000,
}


@pytest.mark.parametrize("raw", NOT_AN_OBJECT.values(), ids=NOT_AN_OBJECT)
@pytest.mark.parametrize("path", ["/api/movies", "/api/movies/{movie}/reviews", "/api/auth/register"])
def test_a_body_that_is_no_json_object_is_refused(
    alice: Account, shared_movie: int, path: str, raw: bytes
) -> None:
    response = alice.api.post(path.format(movie=shared_movie), data=raw, headers=JSON)
    assert_error(response, 400, fields={"body"})


@pytest.mark.parametrize("path", ["/api/auth/login", "/api/auth/register"])
def test_a_body_without_an_object_is_refused_before_sign_in_is_asked(anyone: Api, path: str) -> None:
    assert_error(anyone.post(path, data=b"[1]", headers=JSON), 400, fields={"body"})


@pytest.mark.parametrize(
    "number",
    [b"1e400", b"-1e400", b"9" * 400, b"-" + b"9" * 400, b"9" * 20, b"1" + b"0" * 309, b"1e308", b"1e-5000"],
    ids=["1e400", "-1e400", "400 digits", "-400 digits", "20 digits", "1e309 in digits", "1e308", "tiny"],
)
def test_a_number_beyond_all_bounds_is_refused(alice: Account, shared_movie: int, number: bytes) -> None:
    raw = b'{"title": "X", "rating": ' + number + b"}"
    response = alice.api.post(f"/api/movies/{shared_movie}/reviews", data=raw, headers=JSON)
    assert_error(response, 400)
    # JSON that cannot be read has no fields yet.
    assert set(response.json()["errors"]) in ({"rating"}, {"body"})


@pytest.mark.parametrize("depth", [10, 450, 1000, 1022, 4000])
@pytest.mark.parametrize("field", ["title", "unknown"])
@pytest.mark.parametrize("path", ["/api/movies", "/api/auth/login"])
def test_deep_nesting_is_refused(alice: Account, path: str, field: str, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    raw = b'{"title": "X", "' + field.encode() + b'": ' + nested + b"}"
    response = alice.api.post(path, data=raw, headers=JSON)
    assert_error(response, 400)
    assert response.json()["errors"]


@pytest.mark.parametrize("depth", [10, 300, 1000])
def test_deep_nesting_of_objects_is_refused(alice: Account, depth: int) -> None:
    raw = b'{"title": ' + b'{"a": ' * depth + b"1" + b"}" * depth + b"}"
    response = alice.api.post("/api/movies", data=raw, headers=JSON)
    assert_error(response, 400)
    assert response.json()["errors"]


def test_a_thousand_unknown_fields_are_refused_and_not_named(alice: Account) -> None:
    body = {"title": "X", **{f"field{number}": number for number in range(1000)}}
    assert_error(alice.api.post("/api/movies", body), 400, fields={"body"})


@pytest.mark.parametrize("name", ["", "a\x00b", "a.b", "\U0001f600", "x" * 10_000, "__class__", "self"])
def test_an_unknown_field_of_any_name_is_refused(alice: Account, name: str) -> None:
    assert_error(alice.api.post("/api/movies", {"title": "X", name: 1}), 400)


@pytest.mark.parametrize(
    "text",
    [
        "Amélie",
        "七人の侍",
        "\U0001f3ac\U0001f468\u200d\U0001f469",
        "'; DROP TABLE movies; --",
        "<script>alert(1)</script>",
        "%s %(x)s {0}",
        "back\\slash",
    ],
    ids=ascii,
)
def test_what_is_text_comes_back_as_it_was(alice: Account, text: str) -> None:
    movie = alice.api.create_movie(title=f"T{text}T", description=f"D{text}D", director=f"R{text}R")
    shown = alice.api.get(f"/api/movies/{movie}").json()
    assert (shown["title"], shown["description"], shown["director"]) == (
        f"T{text}T",
        f"D{text}D",
        f"R{text}R",
    )
