from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest

from auth.service import AuthService
from broker import topology
from broker.accounts import definitions, permissions
from movies.service import MoviesService

ROOT = Path(__file__).parents[3]
ACCOUNTS = {account.name: account for account in permissions.services()}
# Queues and exchanges of the platform, those that its parts make while they run among them.
OURS = (
    "nameko-rpc",
    "auth.events",
    "movies.events",
    "notifications.events",
    "rpc-auth",
    "rpc-movies",
    "rpc.reply-0b5a",
    "dead-letters.movies",
    "dead-letters.auth",
    "notifications-0b5a",
    topology.REVIEW_STREAM,
    "evt-auth-user_updated--movies.handle_user_updated",
    "evt-auth-session_revoked--gateway.handle_session_revoked-0b5a",
    "amq.default",
    "amq.topic",
    "",
)


def test_the_file_that_rabbitmq_loads_is_what_the_code_says() -> None:
    """`python -m broker.accounts permissions > broker/permissions.json` writes it."""
    kept = json.loads((ROOT / "broker" / "permissions.json").read_text())
    assert kept == definitions.permissions(permissions.services())


def test_a_password_is_hashed_as_rabbitmq_hashes_it() -> None:
    # The example of https://www.rabbitmq.com/docs/passwords#computing-password-hash
    hashed = definitions.password_hash("test12", bytes.fromhex("908DC60A"))
    assert hashed == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


@pytest.mark.parametrize("name", ["digest", "a", "my-digest", "my_digest2", "x" * 32, "movies2"])
def test_an_integrator_has_its_own_prefix_and_reads_the_event_exchanges(name: str) -> None:
    account = permissions.integrator(name)
    own = [f"{name}.reviews", f"evt-movies-review_created--{name}.handle_review_created"]
    for pattern in (account.configure, account.write, account.read):
        assert all(re.search(pattern, each) for each in own)
        others = [f"{name}2.reviews", f"x{name}.reviews", name, f"evt-movies-review_created--x{name}.handle"]
        assert not any(re.search(pattern, each) for each in others)
    assert not any(re.search(account.configure, each) or re.search(account.write, each) for each in OURS)
    assert {each for each in OURS if re.search(account.read, each)} == set(permissions.EVENT_EXCHANGES)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Digest",
        "1st",
        "a.b",
        "a b",
        "x" * 33,
        "ünï",
        "a\n",
        ".*",
        "auth",
        "rpc",
        "dead-letters",
        "platform",
    ],
)
def test_a_name_that_says_more_than_a_name_is_refused(name: str) -> None:
    with pytest.raises(permissions.BadName):
        permissions.integrator(name)


def test_no_integrator_can_own_what_is_ours() -> None:
    """Whatever our names begin with, up to a dot, is no name for an integrator."""
    for name in OURS:
        prefix = name.partition(".")[0]
        if "." in name and not prefix.startswith("evt-"):
            with pytest.raises(permissions.BadName):
                permissions.integrator(prefix)


def test_an_integrators_queues_are_bounded() -> None:
    made = definitions.of_integrator(permissions.integrator("digest"), "secret")
    (policy,) = made["policies"]
    assert re.search(policy["pattern"], "digest.reviews")
    assert policy["definition"]["max-length-bytes"] == definitions.MOST_QUEUE_BYTES
    assert "secret" not in json.dumps(made)


def test_what_operators_do_is_for_no_service() -> None:
    said = {
        name
        for service in (AuthService, MoviesService)
        for name, method in inspect.getmembers(service, inspect.isfunction)
        if re.search(r"For\s+operators", method.__doc__ or "")
    }
    assert said == set(permissions.OPERATORS_METHODS)
    for account in ACCOUNTS.values():
        (calls,) = account.topics
        assert not any(re.search(calls.write, f"{to}.{name}") for name in said for to in ("auth", "movies"))


def test_the_gateway_may_make_every_call_of_its_routes() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "gateway").rglob("*.py"))
    called = {f"{to}.{name}" for to, name in re.findall(r"\b(auth|movies)\.([a-z_]+)\(", sources)}
    assert len(called) > 20
    (calls,) = ACCOUNTS["gateway"].topics
    assert {call for call in called if not re.search(calls.write, call)} == set()


@pytest.mark.parametrize(("service", "others"), [("movies", "auth"), ("notifications", "auth|movies")])
def test_a_service_may_make_the_calls_that_its_code_names(service: str, others: str) -> None:
    sources = "".join(path.read_text() for path in (ROOT / service).rglob("*.py"))
    called = set(re.findall(rf'"((?:{others})\.[a-z_]+)"', sources))
    (calls,) = ACCOUNTS[service].topics
    assert {call for call in called if not re.search(calls.write, call)} == set()


def test_each_handler_of_the_gateway_has_a_queue_that_it_may_make() -> None:
    declared = r'@event_handler\("(\w+)", "(\w+)".*\)\n    def (\w+)\('
    found = re.findall(declared, (ROOT / "gateway" / "service.py").read_text())
    handlers = {f"evt-{source}-{event}--gateway.{name}-0b5a" for source, event, name in found}
    assert handlers
    gateway = ACCOUNTS["gateway"]
    for pattern in (gateway.configure, gateway.write, gateway.read):
        assert all(re.search(pattern, queue) for queue in handlers)
