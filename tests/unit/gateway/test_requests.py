from __future__ import annotations

import pytest

from broker.errors import Invalid
from gateway.requests import MOST_LEVELS, Request


def request(**headers: str) -> Request:
    return Request("GET", "/", headers)


def posted(body: bytes) -> Request:
    made = Request("POST", "/", {"Content-Type": "application/json"})
    made.raw_body = body
    return made


def test_the_clients_idempotency_key_is_taken_as_it_is() -> None:
    assert request(**{"Idempotency-Key": '"8e03978e-40d5"'}).idempotency_key == '"8e03978e-40d5"'


def test_without_one_each_request_has_a_fresh_key_of_its_own() -> None:
    one, other = request(), request()
    assert one.idempotency_key == one.idempotency_key
    assert one.idempotency_key != other.idempotency_key


@pytest.mark.parametrize("sent", ["", "two words", "x" * 256, "café"])
def test_a_key_that_is_none_is_refused_by_the_headers_name(sent: str) -> None:
    with pytest.raises(Invalid) as raised:
        _ = request(**{"Idempotency-Key": sent}).idempotency_key
    assert set(raised.value.errors) == {"Idempotency-Key"}


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/api/movies?limit=5", "/api/movies", {"limit": "5"}),
        ("/a%20b?q=%2b+x", "/a b", {"q": "+ x"}),
        ("/?a=b?c=d", "/", {"a": "b?c=d"}),
        ("http://example.com/api/movies?limit=5", "/api/movies", {"limit": "5"}),
        ("HTTPS://example.com:8000", "/", {}),
        ("http://example.com?limit=5", "/", {"limit": "5"}),
        ("*", "/*", {}),
    ],
)
def test_what_is_asked_for_is_read_from_either_form_of_an_address(
    target: str, path: str, query: dict[str, str]
) -> None:
    made = Request("GET", target, {})
    assert (made.path, made.parameters()) == (path, query)


def test_werkzeugs_headers_are_there() -> None:
    made = request(**{"Accept-Language": "de"})
    assert made.headers.getlist("accept-language") == ["de"]
    assert list(made.accept_languages.values()) == ["de"]


def test_a_path_stands_in_a_log_without_control_characters_and_its_query() -> None:
    assert Request("GET", "/a%1b%5b31m%0d%0a?q=secret", {}).shown_path == "/a%1B%5B31m%0D%0A"


@pytest.mark.parametrize(
    "deep", [b'{"a": ' * MOST_LEVELS + b"1" + b"}" * MOST_LEVELS, b'{"a": [' + b"[]," * 50 + b"[]]}"]
)
def test_as_many_levels_as_may_be_are_read_however_many_brackets_there_are(deep: bytes) -> None:
    assert "a" in posted(deep).json_body()


@pytest.mark.parametrize(
    "text", [b'"' + b"[{" * 500 + b'"', rb'"\"' + b"[" * 500 + b'"', rb'"[[[[\\"'], ids=["", "quote", "end"]
)
def test_brackets_in_a_text_are_no_levels(text: bytes) -> None:
    assert posted(b'{"a": ' + text + b"}").json_body()["a"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": ' * (MOST_LEVELS + 1) + b"1" + b"}" * (MOST_LEVELS + 1),
        b'{"a": ' + b"[" * 60_000 + b"]" * 60_000 + b"}",
        b'{"a": ' + b"[" * 60_000,
        b'{"a": ["", ' + b"[1, " * 40 + b"1" + b"]" * 41 + b"}",
    ],
    ids=["one more", "60,000", "open", "with values"],
)
def test_more_levels_are_refused(body: bytes) -> None:
    with pytest.raises(Invalid) as raised:
        posted(body).json_body()
    assert set(raised.value.errors) == {"body"}


def test_an_object_of_too_many_fields_is_refused() -> None:
    assert len(posted(b"{%s}" % b",".join(b'"%d":1' % n for n in range(64))).json_body()) == 64
    with pytest.raises(Invalid) as raised:
        posted(b"{%s}" % b",".join(b'"%d":1' % n for n in range(65))).json_body()
    assert set(raised.value.errors) == {"body"}


def test_too_many_query_parameters_are_refused() -> None:
    assert len(Request("GET", "/?" + "&".join(f"p{n}=1" for n in range(64)), {}).parameters()) == 64
    with pytest.raises(Invalid):
        Request("GET", "/?" + "&".join(f"p{n}=1" for n in range(65)), {}).parameters()
