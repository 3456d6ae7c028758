"""Every method that is called over RPC checks what it is called with: whatever that is, the answer is one of
the errors that docstrings promise, in words for people, and names the argument.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import kombu
import pytest
from nameko.exceptions import IncorrectSignature, MalformedRequest, MethodNotFound, RemoteError

from auth.service import AuthService
from broker.errors import Invalid, NotFound, PlatformError
from broker.rpc import RpcEntrypoint
from broker.rpc_client import call
from movies.service import MoviesService
from tests.platforms import FullDeployment

SECONDS = 10
SERVICES = (AuthService, MoviesService)
# SQL, Python and pydantic, none of which a caller knows anything of.
INTERNALS = re.compile(
    r"SELECT |INSERT |psycopg|sqlalchemy|pydantic|Traceback|<class|has no attribute|NoneType|__|\.py\b",
    re.IGNORECASE,
)
DEEP: list[Any] = []
for _ in range(200):
    DEEP = [DEEP]

NO_ID = [None, True, False, 0, -1, 1.5, 1.0, 2**63, 2**64, -(2**63), 10**30, 1e300, "", "1", "x", [], [1], {}]
NO_TEXT = [None, True, 5, 0, 1.5, 10**30, "", "a\x00b", "x" * 1001, [], ["x"], {}, {"x": 1}]
NO_KEY = [True, 5, 1.5, "", " ", "a b", "é", "a\x00b", "x" * 256, "x" * 100_000, [], ["x"], {}]
NO_OBJECT = [None, True, 0, 5, 1.5, "", "x", "{}", [], [1], [["title", "x"]], DEEP]
ACTOR = {"id": 1, "username": "alice"}
NO_ACTOR = [
    *NO_OBJECT,
    {},
    {"id": 1},
    {"username": "alice"},
    *({"id": value, "username": "alice"} for value in NO_ID),
    *({"id": 1, "username": value} for value in NO_TEXT),
    *({**ACTOR, "role": value} for value in (None, "", "root", "Admin", 5, ["admin"], {})),
    {**ACTOR, "password": "x"},
]
NO_FIELDS = [
    *NO_OBJECT,
    {"colour": "red"},
    {"": 1},
    {"a\x00b": 1},
    {f"field{number}": 1 for number in range(65)},
    *({"title": value, "username": value, "limit": value, "q": value} for value in (True, [], {}, DEEP)),
    *({"title": value, "password": value, "cursor": value} for value in ("a\x00b", 10**30, -1.5)),
]
NO_LIST = [None, True, 0, 5, 1.5, "", "x", {}, {"x": 1}, DEEP]
WRONG: dict[str, list[Any]] = {
    "movie_id": NO_ID,
    "review_id": NO_ID,
    "user_id": NO_ID,
    "limit": [*NO_ID, 1001],
    "session": NO_TEXT,
    "event_id": NO_TEXT,
    "idempotency_key": NO_KEY,
    "fields": NO_FIELDS,
    "parameters": NO_FIELDS,
    "actor": NO_ACTOR,
    "user": [None, True, 0, -1, 1.5, 2**63, 10**30, "", "a\x00b", "x" * 201, "id:" + "9" * 190, [], {}],
    "users": [*NO_LIST, *([value] for value in NO_ID), list(range(1, 102))],
    "sessions": [*NO_LIST, *([value] for value in NO_TEXT), ["x"] * 101],
    "role": [None, True, 5, "", "root", "Admin", "a\x00b", "x" * 100_000, [], ["admin"], {}],
}
RIGHT: dict[str, Any] = {
    "movie_id": 2**62,
    "review_id": 2**62,
    "user_id": 2**62,
    "limit": 1,
    "session": "none of this name",
    "event_id": "none of this name",
    "idempotency_key": None,
    "fields": {},
    "parameters": {},
    "actor": ACTOR,
    "user": "nobody-of-this-name",
    "users": [],
    "sessions": [],
    "role": "user",
}
OPTIONAL = {("replay_dead_letters", "event_id")}  # where None means all


def methods() -> Iterator[Any]:
    for service in SERVICES:
        for name, method in inspect.getmembers(service, inspect.isfunction):
            if any(isinstance(each, RpcEntrypoint) for each in getattr(method, "nameko_entrypoints", ())):
                yield pytest.param(service.name, method, id=f"{service.name}.{name}")


METHODS = list(methods())
every_method = pytest.mark.parametrize(("service", "method"), METHODS)


@pytest.fixture(scope="module")
def connection(full_deployment: FullDeployment) -> Iterator[kombu.Connection]:
    with kombu.Connection(full_deployment.servers.amqp) as connection:
        yield connection


def parameters(method: Any) -> list[str]:
    return list(inspect.signature(method).parameters)[1:]


def failure(connection: kombu.Connection, name: str, *args: Any) -> Exception:
    """What a call with these arguments fails with; AssertionError where it does not."""
    try:
        answer = call(connection, name, *args, seconds=SECONDS)
    except (PlatformError, RemoteError, IncorrectSignature, MalformedRequest, MethodNotFound) as error:
        assert not INTERNALS.search(str(error)), error
        return error
    raise AssertionError(f"{name}{args!r:.200} answers {answer!r:.200}")


def test_they_are_all_there() -> None:
    assert len(METHODS) >= 30


@every_method
def test_a_wrong_argument_is_named(connection: kombu.Connection, service: str, method: Any) -> None:
    names = parameters(method)
    for position, name in enumerate(names):
        for value in WRONG[name]:
            if value is None and (method.__name__, name) in OPTIONAL:
                continue
            arguments = [RIGHT[each] for each in names]
            arguments[position] = value
            error = failure(connection, f"{service}.{method.__name__}", *arguments)
            assert isinstance(error, Invalid), (name, value, error)
            if name not in ("fields", "parameters") or not isinstance(value, dict):
                assert {field.partition(".")[0] for field in error.errors} == {name}, (value, error)
            assert all(f"{field} {reason}"[:100] in str(error) for field, reason in error.errors.items())


@every_method
def test_too_few_and_too_many_arguments_are_told(
    connection: kombu.Connection, service: str, method: Any
) -> None:
    signature = inspect.signature(method)
    needed = [name for name in parameters(method) if signature.parameters[name].default is inspect._empty]
    name = f"{service}.{method.__name__}"
    if needed:
        assert isinstance(failure(connection, name), IncorrectSignature)
    many = [RIGHT[each] for each in parameters(method)]
    assert isinstance(failure(connection, name, *many, "one more"), IncorrectSignature)


@pytest.mark.parametrize("service", [service.name for service in SERVICES])
@pytest.mark.parametrize(
    "name", ["nothing", "__init__", "transaction", "handle_user_updated", "forget_old_keys"]
)
def test_what_is_no_method_is_told(connection: kombu.Connection, service: str, name: str) -> None:
    try:
        call(connection, f"{service}.{name}", seconds=SECONDS)
    except MethodNotFound as error:
        assert str(error) == name
    else:
        raise AssertionError(name)


@pytest.mark.parametrize("value", ["a\ud800b", float("nan"), float("inf")])
@pytest.mark.parametrize("method", ["auth.profile", "movies.get", "movies.discard_dead_letters"])
def test_what_is_no_json_is_told(connection: kombu.Connection, method: str, value: object) -> None:
    assert str(failure(connection, method, value)) == "A call must be JSON"


def test_an_operator_is_told_what_is_wrong_in_one_line(connection: kombu.Connection) -> None:
    for arguments, said in {
        (10**9, "admin"): "User not found",
        ("alice", "king"): "Some fields are not valid: role must be 'user', 'moderator' or 'admin'",
        (1.5, "admin"): "Some fields are not valid: user must be a username or an id",
    }.items():
        assert str(failure(connection, "auth.set_role", *arguments)) == said
    error = failure(connection, "auth.logout", 1, 5)
    assert str(error) == "Some fields are not valid: session must be a string"
    review = {"title": "", "rating": 7.3}
    error = failure(connection, "movies.create_review", 1, review, ACTOR)
    assert str(error) == (
        "Some fields are not valid: title must not be empty; rating must be in steps of 0.5"
    )
    assert isinstance(failure(connection, "movies.get", 2**62), NotFound)
