"""Who may do what on the broker: every act of a forger, tried with each account on a real RabbitMQ.

What comes out is the table of `docs/broker.md`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import amqp
import kombu
import pytest
from amqp.exceptions import AccessRefused

from broker.accounts import permissions
from tests.integration.broker_accounts import add_integrator, broker_with_accounts, uri
from tests.processes import ROOT
from tests.servers import RabbitMq

INTEGRATOR = "digest"
ACCOUNTS = (INTEGRATOR, "gateway", "notifications", "movies", "auth")
DOCUMENT = ROOT / "docs" / "broker.md"
DEFINITIONS = json.loads((ROOT / "broker" / "definitions.json").read_text())
# What the services make when they start, beside what is in the definitions.
RPC_QUEUES = {"rpc-auth": "auth.*", "rpc-movies": "movies.*"}
DURABLE_QUEUES = ("dead-letters.movies", "notifications-of-a-notifier", "evt-auth-session_revoked--gateway.x")
HANDLER = "evt-auth-user_updated--movies.handle_user_updated"
STREAM = "notifications.reviews"
ELSEWHERE = "amq.topic"

# A queue that each account may make.
OWN = {
    INTEGRATOR: "digest.own",
    "gateway": "evt-auth-x--gateway.own",
    "notifications": "notifications-own",
    "movies": "evt-auth-x--movies.own",
    "auth": "rpc.reply-own",
}

# What is done with a channel, by whom.
Act = Callable[[amqp.Channel, str], object]


@dataclass(frozen=True)
class Broker:
    rabbitmq: RabbitMq
    uris: Mapping[str, str]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("forgeries")
    with broker_with_accounts(folder) as rabbitmq:
        uris = {name: uri(rabbitmq, name) for name in (*permissions.SERVICES, permissions.OPERATOR)}
        uris[INTEGRATOR] = add_integrator(rabbitmq, folder, INTEGRATOR)
        uris["other"] = add_integrator(rabbitmq, folder, "other")
        yield Broker(rabbitmq, uris)


def make_topology(channel: amqp.Channel) -> None:
    """Everything of ours is there, whatever an act before has deleted."""
    for each in DEFINITIONS["exchanges"]:
        channel.exchange_declare(each["name"], "topic", durable=True, auto_delete=False)
    channel.exchange_declare("notifications.events", "topic", durable=True, auto_delete=False)
    for each in DEFINITIONS["queues"]:
        channel.queue_declare(each["name"], durable=True, auto_delete=False, arguments=each["arguments"])
    for each in DEFINITIONS["bindings"]:
        channel.queue_bind(each["destination"], each["source"], each["routing_key"])
    for queue, key in RPC_QUEUES.items():
        channel.queue_declare(queue, durable=True, auto_delete=False)
        channel.queue_bind(queue, "nameko-rpc", key)
    for queue in (*DURABLE_QUEUES, "other.films"):
        channel.queue_declare(queue, durable=True, auto_delete=False)


def publish(exchange: str, key: str) -> Act:
    def act(channel: amqp.Channel, _account: str) -> None:
        channel.basic_publish(amqp.Message(b"{}", content_type="application/json"), exchange, key)
        channel.basic_qos(0, 1, False)  # by its answer the broker has looked at the message

    return act


def declare_own(**arguments: str) -> Act:
    """A queue of its own that says something of others."""
    named = {name.replace("_", "-"): value for name, value in arguments.items()}
    return lambda channel, account: channel.queue_declare(OWN[account], exclusive=True, arguments=named)


def bind_own(exchange: str, key: str) -> Act:
    def act(channel: amqp.Channel, account: str) -> None:
        channel.queue_declare(OWN[account], exclusive=True)
        channel.queue_bind(OWN[account], exchange, key)

    return act


def bind_elsewhere(queue: str) -> Act:
    return lambda channel, _account: channel.queue_bind(queue, ELSEWHERE, "#")


def consume(queue: str) -> Act:
    return lambda channel, _account: channel.basic_consume(queue, callback=lambda _message: None)


# Each row of the table: what is done, and how.
ACTS: dict[str, Act] = {
    "announce a `user_updated` on `auth.events`": publish("auth.events", "user_updated"),
    "announce a `session_revoked` on `auth.events`": publish("auth.events", "session_revoked"),
    "announce a `review_created` on `movies.events`": publish("movies.events", "review_created"),
    "say something to the rooms of all notifiers on `notifications.events`": publish(
        "notifications.events", "room_told"
    ),
    "call `auth.verification`": publish("nameko-rpc", "auth.verification"),
    "call `auth.confirm`": publish("nameko-rpc", "auth.confirm"),
    "call `auth.login`": publish("nameko-rpc", "auth.login"),
    "call `auth.set_role`": publish("nameko-rpc", "auth.set_role"),
    "call `auth.rotate_keys`": publish("nameko-rpc", "auth.rotate_keys"),
    "call `movies.get`": publish("nameko-rpc", "movies.get"),
    "call `movies.create_review`": publish("nameko-rpc", "movies.create_review"),
    "call `movies.discard_dead_letters`": publish("nameko-rpc", "movies.discard_dead_letters"),
    "put a message into a queue by its name (`rpc-movies`, `dead-letters.movies`, the stream)": publish(
        "", "rpc-movies"
    ),
    "hear the calls of movies (bind a queue of its own to them)": bind_own("nameko-rpc", "movies.*"),
    "hear all calls": bind_own("nameko-rpc", "#"),
    "hear auth's events": bind_own("auth.events", "#"),
    "hear movies' events": bind_own("movies.events", "#"),
    "take the calls of movies": consume("rpc-movies"),
    "take the calls of auth": consume("rpc-auth"),
    f"take the events of `{HANDLER}`": consume(HANDLER),
    "read a gateway's queue": consume("evt-auth-session_revoked--gateway.x"),
    "read a notifier's queue": consume("notifications-of-a-notifier"),
    "read another integrator's queue": consume("other.films"),
    "take movies' dead letters": consume("dead-letters.movies"),
    "purge the calls of movies": lambda channel, _account: channel.queue_purge("rpc-movies"),
    "purge movies' dead letters": lambda channel, _account: channel.queue_purge("dead-letters.movies"),
    "bind `rpc-movies` elsewhere": bind_elsewhere("rpc-movies"),
    f"bind `{HANDLER}` elsewhere": bind_elsewhere(HANDLER),
    "bind the stream elsewhere": bind_elsewhere(STREAM),
    "unbind movies from its calls": lambda channel, _account: channel.queue_unbind(
        "rpc-movies", "nameko-rpc", "movies.*"
    ),
    "unbind the stream": lambda channel, _account: channel.queue_unbind(
        STREAM, "movies.events", "review_created"
    ),
    "delete `rpc-movies`": lambda channel, _account: channel.queue_delete("rpc-movies"),
    f"delete `{HANDLER}`": lambda channel, _account: channel.queue_delete(HANDLER),
    "delete the stream": lambda channel, _account: channel.queue_delete(STREAM),
    "delete another integrator's queue": lambda channel, _account: channel.queue_delete("other.films"),
    "delete `nameko-rpc`": lambda channel, _account: channel.exchange_delete("nameko-rpc"),
    "delete `auth.events`": lambda channel, _account: channel.exchange_delete("auth.events"),
    "delete `movies.events`": lambda channel, _account: channel.exchange_delete("movies.events"),
    "declare a queue of no prefix of its own": lambda channel, _account: channel.queue_declare("films"),
    "declare an exchange of no prefix of its own": lambda channel, _account: channel.exchange_declare(
        "films", "topic", auto_delete=True
    ),
    "lead one exchange's events into another": lambda channel, _account: channel.exchange_bind(
        "auth.events", "movies.events", "#"
    ),
    "have what its queue drops announced as an event": declare_own(
        x_dead_letter_exchange="auth.events", x_dead_letter_routing_key="user_updated"
    ),
    "have what its queue drops put into a queue by its name": declare_own(
        x_dead_letter_exchange="", x_dead_letter_routing_key="rpc-movies"
    ),
    "have what its exchange cannot route announced as an event": lambda channel, account: (
        channel.exchange_declare(
            OWN[account], "topic", auto_delete=True, arguments={"alternate-exchange": "auth.events"}
        )
    ),
}


def allowed(broker: Broker, account: str, act: Act) -> bool:
    """Whether RabbitMQ does it; with all of ours there before."""
    with kombu.Connection(broker.uris[permissions.OPERATOR]) as operator:
        make_topology(operator.default_channel)
    with kombu.Connection(broker.uris[account]) as connection:
        channel = connection.channel()
        try:
            act(channel, account)
        except AccessRefused:
            return False
        return True


@pytest.fixture(scope="module")
def measured(broker: Broker) -> dict[str, list[bool]]:
    """By act: whether each account may do it."""
    return {what: [allowed(broker, account, act) for account in ACCOUNTS] for what, act in ACTS.items()}


def test_an_integrator_hears_events_and_may_do_nothing_else(measured: dict[str, list[bool]]) -> None:
    assert {what for what, answers in measured.items() if answers[0]} == {
        "hear auth's events",
        "hear movies' events",
    }


def test_no_service_may_do_what_is_the_operators(measured: dict[str, list[bool]]) -> None:
    for call in ("auth.set_role", "auth.rotate_keys", "movies.discard_dead_letters"):
        assert measured[f"call `{call}`"] == [False] * len(ACCOUNTS)


def test_the_documents_table_is_what_rabbitmq_does(measured: dict[str, list[bool]]) -> None:
    table = table_of(measured)
    assert table in DOCUMENT.read_text(), f"the table of {DOCUMENT.name} should be\n{table}"


def table_of(measured: dict[str, list[bool]]) -> str:
    head = f"| what | an integrator | {' | '.join(ACCOUNTS[1:])} |"
    rows = [f"| {what} | {' | '.join(map(_shown, answers))} |" for what, answers in measured.items()]
    return "\n".join([head, "| --- " * (len(ACCOUNTS) + 1) + "|", *rows])


def _shown(may: bool) -> str:
    return "yes" if may else "–"
