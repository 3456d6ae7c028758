from __future__ import annotations

import inspect
from typing import Any

import pytest

from broker.arguments import checked
from broker.errors import Invalid
from broker.validation import Body, Fields, Id, Key, Limit


class Person(Body):
    id: Id


class Service:
    @checked
    def method(
        self, movie_id: Id, fields: Fields, person: Person, limit: Limit = 7, key: Key | None = None
    ) -> Any:
        """What it does."""
        return movie_id, fields, person, limit, key


ask: Any = Service().method


def test_a_method_gets_what_it_was_called_with() -> None:
    assert ask(1, {"a": [1]}, {"id": 2}) == (1, {"a": [1]}, Person(id=2), 7, None)
    assert ask(key="x", person={"id": 2}, fields={}, movie_id=1, limit=9)[3:] == (9, "x")


def test_every_argument_at_fault_is_named() -> None:
    with pytest.raises(Invalid) as raised:
        ask("1", [], {"id": 0, "name": "x"}, True, "a b")
    assert raised.value.errors == {
        "movie_id": "must be a whole number",
        "fields": "must be an object",
        "person.id": "must be at least 1",
        "person.name": "is not a known field",
        "limit": "must be a whole number",
        "key": "must be 1 to 255 visible ASCII characters",
    }


@pytest.mark.parametrize("arguments", [(), (1, {}), (1, {}, {"id": 1}, 7, "k", "more")])
def test_the_number_of_arguments_is_pythons_business(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        ask(*arguments)


def test_nameko_sees_the_method_as_it_is_written() -> None:
    assert list(inspect.getfullargspec(Service.method).args)[1:] == [
        "movie_id",
        "fields",
        "person",
        "limit",
        "key",
    ]
    assert Service.method.__doc__ == "What it does."
