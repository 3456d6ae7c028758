from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from auth import commands, domain, handlers
from auth.providers import ScryptHasher
from broker.errors import Unauthenticated
from broker.idempotency import Write

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class NobodysDatabase:
    """A session to a database without any user."""

    def execute(self, _statement: object) -> NobodysDatabase:
        return self

    def all(self) -> list[Any]:
        return []


@contextmanager
def transaction() -> Iterator[Any]:
    yield NobodysDatabase()


class CountingHasher:
    """Knows nobody's password, and counts how often it was asked."""

    def __init__(self) -> None:
        self.checked: list[str | None] = []

    def hash(self, password: str) -> str:
        raise AssertionError(password)

    def matches(self, password_hash: str | None, _password: str) -> bool:
        self.checked.append(password_hash)
        return False


def test_for_an_unknown_email_a_hash_is_checked_too() -> None:
    hasher = CountingHasher()
    settings = domain.TokenSettings(lifetime=60, secret="")
    command = commands.Login(email="nobody@example.com", password="whatever")
    with pytest.raises(Unauthenticated, match="Invalid email or password"):
        handlers.login(transaction, hasher, settings, command, Write(NOW))
    assert hasher.checked == [None]


def test_nobodys_password_never_matches() -> None:
    assert not ScryptHasher(width=1, cost=1024).matches(None, "whatever")
