"""What each account configures, writes and reads, as RabbitMQ checks it.

RabbitMQ asks for `configure` to declare or delete, even what is there already; for `write` on an exchange
to publish, and on a queue to bind it; for `read` on a queue to consume or purge it, and on an exchange to
bind to it. On a topic exchange it then looks at the routing key, of a message or of a binding. Its default
exchange is called `amq.default` here; whoever writes to that reaches every queue whose name it knows.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from broker.topology import REVIEW_STREAM

SERVICES = ("auth", "movies", "gateway", "notifications")
OPERATOR = "platform"
RPC = "nameko-rpc"
EVENT_EXCHANGES = ("auth.events", "movies.events")
ANYTHING = ".*"

# What makes admins, changes keys and empties dead letters: for `nameko shell`, and for no service.
OPERATORS_METHODS = (
    "set_role",
    "collisions",
    "rotate_keys",
    "dead_letters",
    "replay_dead_letters",
    "discard_dead_letters",
)

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
# Accounts of others, and what our own queues' names begin with, before a dot.
_RESERVED = {*SERVICES, OPERATOR, "guest", "admin", "root", "amq", "rpc", "evt", "dead-letters"}

# Patterns of names.
_CONFIRMED_BY_AUTH = r"auth\.confirm"  # who somebody is, and whether a session is over
# Auth of the release before is asked for the same by these; a release later this goes.
_CONFIRMED_BEFORE = r"auth\.(?:public_profile|verification)"
_ASKED_BY_NOTIFIERS = (r"auth\.verification", _CONFIRMED_BY_AUTH, r"movies\.(?:get|get_review|public_keys)")
_DEFAULT_EXCHANGE = r"amq\.default"
_DIRECT_REPLIES = r"amq\.rabbitmq\.reply-to"
_REPLY_QUEUES = r"rpc\.reply-.+"
_TO_NO_SERVICE = rf"(?!(?:{'|'.join(SERVICES)})\.).+"  # a reply goes where its caller says, and is no call


class BadName(ValueError):
    """A name that no integrator can have; one sentence for people."""


@dataclass(frozen=True)
class Topics:
    """The routing keys that an account publishes with (`write`) and binds with (`read`), as expressions."""

    exchange: str
    write: str
    read: str


@dataclass(frozen=True)
class Account:
    """Regular expressions over the names of exchanges and queues, as RabbitMQ has them."""

    name: str
    configure: str
    write: str
    read: str
    topics: tuple[Topics, ...] = ()


def services() -> list[Account]:
    """The accounts of the four services."""
    return [_auth(), _movies(), _gateway(), _notifications()]


def integrator(name: str) -> Account:
    """Somebody else's account: it reads both event exchanges, and owns what lies under its own prefix.

    Raises BadName.
    """
    own = owned_by(check_name(name))
    return Account(name, configure=_any(own), write=_any(own), read=_any(own, *_exact(EVENT_EXCHANGES)))


def owned_by(integrator_name: str) -> str:
    """The pattern of an integrator's own queues: under its prefix, or of a Nameko service of its name."""
    events = "|".join(exchange.removesuffix(".events") for exchange in EVENT_EXCHANGES)
    name = re.escape(integrator_name)
    return rf"{name}\..+|evt-(?:{events})-[a-z_]+--{name}\..+"


def check_name(name: str) -> str:
    """The name, which an integrator can have. Raises BadName."""
    if not _NAME.fullmatch(name):
        raise BadName(
            "a name has 1 to 32 small letters, digits, '-' and '_' of ASCII, and begins with a letter"
        )
    if name in _RESERVED:
        raise BadName(f"{name} is a name of the platform's own")
    return name


def _auth() -> Account:
    own = ("rpc-auth", r"dead-letters\.auth", _REPLY_QUEUES)
    # The relay makes the queues that must not miss an event, before it publishes one.
    required = r"evt-auth-[a-z_]+--movies\..+"
    return Account(
        "auth",
        configure=_any(RPC, r"auth\.events", required, *own),
        write=_any(RPC, r"auth\.events", _DEFAULT_EXCHANGE, required, *own),
        read=_any(RPC, r"auth\.events", *own),
        topics=(_calls("auth", r"auth\.status"),),
    )


def _movies() -> Account:
    stream = re.escape(REVIEW_STREAM)
    own = ("rpc-movies", r"dead-letters\.movies", r"evt-[a-z]+-[a-z_]+--movies\..+", _REPLY_QUEUES)
    return Account(
        "movies",
        configure=_any(RPC, *_exact(EVENT_EXCHANGES), stream, *own),
        write=_any(RPC, r"movies\.events", _DEFAULT_EXCHANGE, stream, *own),
        read=_any(RPC, *_exact(EVENT_EXCHANGES), *own),
        topics=(_calls("movies", r"movies\.status", _CONFIRMED_BY_AUTH, _CONFIRMED_BEFORE),),
    )


def _gateway() -> Account:
    own = r"evt-[a-z]+-[a-z_]+--gateway\..+"
    called = rf"(?:auth|movies)\.(?!(?:{'|'.join(OPERATORS_METHODS)})$)[a-z_]+"
    return Account(
        "gateway",
        configure=_any(RPC, r"auth\.events", own),
        write=_any(RPC, own),
        read=_any(r"auth\.events", own, _DIRECT_REPLIES),
        topics=(Topics(RPC, write=_any(called), read=_any()),),
    )


def _notifications() -> Account:
    stream = re.escape(REVIEW_STREAM)
    own = (r"notifications\.events", r"notifications-.+", stream, _REPLY_QUEUES)
    called = (r"auth\.(?:verification|confirm)", r"movies\.(?:public_keys|get|get_review)")
    return Account(
        "notifications",
        configure=_any(RPC, *_exact(EVENT_EXCHANGES), *own),
        write=_any(RPC, _DEFAULT_EXCHANGE, *own),  # by the default exchange: its mark in the stream
        read=_any(RPC, *_exact(EVENT_EXCHANGES), *own),
        topics=(Topics(RPC, write=_any(*called), read=_any(_REPLY_QUEUES)),),
    )


def _calls(service: str, *called: str) -> Topics:
    """A service that is called: it takes its own calls, answers anybody, and calls what is `called`."""
    return Topics(RPC, write=_any(_TO_NO_SERVICE, *called), read=_any(rf"{service}\.\*", _REPLY_QUEUES))


def _exact(names: Iterable[str]) -> list[str]:
    return [re.escape(name) for name in names]


def _any(*patterns: str) -> str:
    """What one of the patterns matches whole; nothing without any."""
    return f"^(?:{'|'.join(patterns)})$" if patterns else "^(?!)$"
