"""Bodies whose cost a client would decide: refused in a moment, in a few words, and nobody else waits."""

from __future__ import annotations

import time

import orjson
import pytest

from tests.clients import Account, Api

JSON = {"Content-Type": "application/json"}
MOST_SECONDS = 1.0
MOST_BYTES = 16 * 1024

COSTLY = {
    "60,000 unknown names": orjson.dumps({f"key{number}": 1 for number in range(60_000)}),
    "65 unknown names": orjson.dumps({f"key{number}": 1 for number in range(65)}),
    "64 long names": orjson.dumps({"k" * 1500 + str(number): 1 for number in range(64)}),
    "one very long name": orjson.dumps({"k" * 100_000: 1}),
    "emoji for names": orjson.dumps({"\U0001f600" * 400 + str(number): 1 for number in range(60)}),
    "lists 30 deep": b'{"title": [' + b",".join([b"[" * 29 + b"]" * 29] * 2000) + b"]}",
    "a list for every field": b'{"title": [' + b"1," * 50_000 + b'1], "rating": [' + b"1," * 10_000 + b"1]}",
    "a megabyte of names": orjson.dumps({f"key{number}": "x" * 10 for number in range(45_000)}),
    "the same name 30,000 times": b"{" + b'"title": 1,' * 30_000 + b'"title": 1}',
}


@pytest.mark.parametrize("raw", COSTLY.values(), ids=COSTLY)
@pytest.mark.parametrize("path", ["/api/auth/login", "/api/auth/register", "/api/movies"])
def test_it_is_refused_at_once_and_in_a_few_words(alice: Account, path: str, raw: bytes) -> None:
    began = time.monotonic()
    response = alice.api.post(path, data=raw, headers=JSON)
    assert time.monotonic() - began < MOST_SECONDS
    assert response.status_code in (400, 413)
    assert len(response.content) < MOST_BYTES
    assert len(response.json().get("errors", {})) <= 20


@pytest.mark.parametrize("query", ["&".join(f"p{number}=1" for number in range(900)), "p" * 6000 + "=1"])
def test_a_query_likewise(anyone: Api, query: str) -> None:
    response = anyone.get(f"/api/movies/search?{query}")
    assert response.status_code == 400
    assert len(response.content) < MOST_BYTES


def test_an_unknown_field_is_answered_with_the_one_that_was_meant(alice: Account) -> None:
    response = alice.api.post("/api/movies", {"titel": "X"})
    assert response.json()["errors"]["titel"] == "is not a known field; did you mean title?"
