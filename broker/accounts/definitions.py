"""Accounts in the form of RabbitMQ's definitions, which `rabbitmqctl import_definitions` and others read."""

import base64
import hashlib
import secrets
from collections.abc import Sequence
from typing import Any

from broker.accounts.permissions import Account, owned_by

VHOST = "/"
INTEGRATOR = "integrator"  # the tag of their accounts; it opens nothing
HASHING = "rabbit_password_hashing_sha256"
SALT_BYTES = 4  # as RabbitMQ has it
PASSWORD_BYTES = 24
# An integrator that is away keeps so much for itself; the oldest go first.
MOST_QUEUE_BYTES = 256 * 2**20
MOST_CONNECTIONS = 20
MOST_CHANNELS = 200

Definitions = dict[str, list[dict[str, Any]]]


def new_password() -> str:
    """Letters, digits, "-" and "_": it goes into a URL as it is."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def password_hash(password: str, salt: bytes) -> str:
    """As RabbitMQ keeps a password: https://www.rabbitmq.com/docs/passwords#computing-password-hash"""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def permissions(accounts: Sequence[Account]) -> Definitions:
    """What the accounts may do; the users themselves, and their passwords, are elsewhere."""
    return {
        "permissions": [
            {
                "user": each.name,
                "vhost": VHOST,
                "configure": each.configure,
                "write": each.write,
                "read": each.read,
            }
            for each in accounts
        ],
        "topic_permissions": [
            {
                "user": each.name,
                "vhost": VHOST,
                "exchange": topics.exchange,
                "write": topics.write,
                "read": topics.read,
            }
            for each in accounts
            for topics in each.topics
        ],
    }


def of_services(passwords: dict[str, str], accounts: Sequence[Account]) -> Definitions:
    """The services' users, whose passwords are given by their names, and what they may do."""
    return {"users": [_user(each.name, passwords[each.name], "") for each in accounts]} | permissions(
        accounts
    )


def of_integrator(account: Account, password: str) -> Definitions:
    """An integrator's user, what it may do, and how much its queues hold."""
    user = _user(account.name, password, INTEGRATOR)
    user["limits"] = {"max-connections": MOST_CONNECTIONS, "max-channels": MOST_CHANNELS}
    policy = {
        "vhost": VHOST,
        "name": policy_name(account.name),
        "pattern": f"^(?:{owned_by(account.name)})$",
        "apply-to": "queues",
        "priority": 0,
        "definition": {"max-length-bytes": MOST_QUEUE_BYTES, "overflow": "drop-head"},
    }
    return {"users": [user], **permissions([account]), "policies": [policy]}


def policy_name(integrator: str) -> str:
    return f"{INTEGRATOR}-{integrator}"


def _user(name: str, password: str, tags: str) -> dict[str, Any]:
    return {
        "name": name,
        "password_hash": password_hash(password, secrets.token_bytes(SALT_BYTES)),
        "hashing_algorithm": HASHING,
        "tags": tags,
    }
