"""What may be written in several ways is brought into one."""

from __future__ import annotations

from typing import Any

import pytest

from broker import config
from broker.config.__main__ import veiled


@pytest.mark.parametrize(
    ("variable", "written", "name", "taken"),
    [
        ("LOG_LEVEL", "debug", "LOG_LEVEL", "DEBUG"),
        ("LOG_LEVEL", " Warn ", "LOG_LEVEL", "WARNING"),
        ("LOG_LEVEL", "10", "LOG_LEVEL", "DEBUG"),
        ("MAX_WORKERS", "7", "max_workers", 7),
        ("GATEWAY_PORT", "08080", "GATEWAY_PORT", 8080),
        ("GATEWAY_PORT", " 8080 ", "GATEWAY_PORT", 8080),
        ("RPC_TIMEOUT", "0.5", "RPC_TIMEOUT", 0.5),
        ("NOTIFIER_BALANCED", "Yes", "NOTIFIER_BALANCED", True),
        ("NOTIFIER_BALANCED", "0", "NOTIFIER_BALANCED", False),
        ("GATEWAY_HOST", "[::1]", "GATEWAY_HOST", "::1"),
        ("NOTIFIER_ORIGINS", "https://Example.com/", "origins", ["https://example.com"]),
        (
            "NOTIFIER_ORIGINS",
            "https://a.example:443,http://b:80",
            "origins",
            ["https://a.example", "http://b"],
        ),
        ("GATEWAY_ORIGINS", "http://[::1]:3000", "gateway_origins", ["http://[::1]:3000"]),
        ("GATEWAY_ORIGINS", "https://bücher.example", "gateway_origins", ["https://xn--bcher-kva.example"]),
        ("GATEWAY_ORIGINS", "*, null", "gateway_origins", ["*", "null"]),
        ("THROTTLE_READS", "10/2 Hours", "THROTTLE_READS", "10/2 Hours"),
        ("REDIS_URL", "redis://:p@[::1]:6379/15", "REDIS_URL", "redis://:p@[::1]:6379/15"),
        ("REDIS_URL", "unix:///run/redis.sock?db=3", "REDIS_URL", "unix:///run/redis.sock?db=3"),
        ("AMQP_URI", "amqp://a:b@h1:5672//;amqp://h2", "AMQP_URI", "amqp://a:b@h1:5672//;amqp://h2"),
        (
            "AUTH_DATABASE_URL",
            "postgres://u:p/w?x@[::1]:5432/d?sslmode=require",
            "AUTH_DATABASE_URL",
            "postgresql+psycopg2://u:p/w?x@[::1]:5432/d?sslmode=require",
        ),
        (
            "AUTH_DATABASE_URL",
            "postgresql:///auth?host=/run/postgresql",
            "AUTH_DATABASE_URL",
            "postgresql+psycopg2:///auth?host=/run/postgresql",
        ),
        ("SIGNING_KEY_SECRET", "0123", "SIGNING_KEY_SECRET", "0123"),
        ("SIGNING_KEY_SECRET", "${HOME}", "SIGNING_KEY_SECRET", "${HOME}"),
    ],
)
def test_it_is_taken(
    monkeypatch: pytest.MonkeyPatch, variable: str, written: str, name: str, taken: Any
) -> None:
    monkeypatch.setenv(variable, written)
    typed = config.settings(config.read(config.path_from_environment()))
    assert getattr(typed, name) == taken
    # What has been brought into its form stays in it.
    assert config.settings({variable: getattr(typed, variable, None)} if hasattr(typed, variable) else {})


def test_nameko_is_handed_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_WORKERS", "7")
    monkeypatch.setenv("AMQP_HEARTBEAT", "30")
    monkeypatch.setenv("LOG_LEVEL", "debug")
    given = config.read(config.path_from_environment())
    assert (given["max_workers"], given["HEARTBEAT"]) == (7, 30)
    assert given["LOGGING"]["root"]["level"] == "DEBUG"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://user:a-secret@h:5672//", "amqp://user:***@h:5672//"),
        ("amqp://u:a-secret@h1//;amqp://u:a-secret@h2//", "amqp://u:***@h1//;amqp://u:***@h2//"),
        ("redis://:a-secret@h:6379/0", "redis://:***@h:6379/0"),
        ("postgresql://u:a-sec/ret?x@h:5432/d", "postgresql://u:***@h:5432/d"),
        (
            "postgresql://u@h/d?password=a-secret&sslmode=require",
            "postgresql://u@h/d?password=***&sslmode=require",
        ),
        ("memory://", "memory://"),
        ("amqp://h:5672//", "amqp://h:5672//"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert veiled(url) == shown
