from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from broker.idempotency import Write, fingerprint

NOW = datetime(2026, 1, 1, tzinfo=UTC)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(st.text(), values, max_size=5)
keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


def turned_round(value: Any) -> Any:
    """The same JSON, with the fields of every object in the opposite order."""
    if isinstance(value, dict):
        return {name: turned_round(value[name]) for name in reversed(value)}
    return [turned_round(each) for each in value] if isinstance(value, list) else value


@given(keys, bodies)
def test_the_order_of_fields_does_not_matter(key: str, body: dict[str, Any]) -> None:
    assert fingerprint(key, [7, turned_round(body)]) == fingerprint(key, [7, body])


@given(keys, bodies)
def test_what_travelled_as_json_is_the_same(key: str, body: dict[str, Any]) -> None:
    assert fingerprint(key, [json.loads(json.dumps(body))]) == fingerprint(key, [body])


@given(keys, values, values)
def test_other_arguments_have_another_fingerprint(key: str, one: Any, other: Any) -> None:
    assume(json.dumps(turned_round(one)) != json.dumps(turned_round(other)) and one != other)
    assert fingerprint(key, [one]) != fingerprint(key, [other])


@given(st.lists(values, max_size=3), values)
def test_what_belongs_to_which_argument_matters(arguments: list[Any], value: Any) -> None:
    assert fingerprint("k", [*arguments, value]) != fingerprint("k", [*arguments, [value]])


@given(keys, keys, bodies)
def test_under_another_key_the_same_body_looks_different(one: str, other: str, body: dict[str, Any]) -> None:
    assume(one != other)
    assert fingerprint(one, [body]) != fingerprint(other, [body])


def test_a_key_belongs_to_one_operation_and_one_person() -> None:
    scopes = [("movies.create", 1), ("movies.create", 11), ("movies.delete", 1), ("movies.create", None)]
    stored = {Write.under(key, *scope, [], NOW).key for scope in scopes for key in ("1", "11")}
    assert len(stored) == 8


def test_without_a_key_the_database_is_not_asked() -> None:
    write, session = Write(NOW), Any
    assert write.claim(session) is None  # type: ignore[arg-type]
    assert write.earlier(session) is None  # type: ignore[arg-type]
    assert write.settle(session, 7) == 7  # type: ignore[arg-type]
