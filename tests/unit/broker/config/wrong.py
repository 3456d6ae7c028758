"""Values that no setting may have, by what is wrong with them."""

from __future__ import annotations

from broker.config import model

# Where empty is an answer.
MAY_BE_EMPTY = {
    "AMQP_URI": False,
    "AUTH_DATABASE_URL": True,
    "MOVIES_DATABASE_URL": True,
    "REDIS_URL": True,
    "DATA_FOLDER": False,
    "HEALTH_FILE": True,
    "GATEWAY_HOST": False,
    "NOTIFIER_HOST": False,
    "NOTIFIER_ORIGINS": True,
    "GATEWAY_ORIGINS": True,
    "SIGNING_KEY_SECRET": True,
    "LOG_LEVEL": False,
}
TEXTS: dict[str, dict[str, str]] = {
    "AMQP_URI": {
        "another kind": "https://a-secret@example.com",
        "no URL": "localhost:5672",
        "a port too large": "amqp://u:a-secret@h:70000//",
        "no port": "amqp://u:a-secret@h:port//",
        "a blank": "amqp://u:a-secret@h //",
        "no IPv6": "amqp://u:a-secret@[::z]:5672//",
    },
    **{
        name: {
            "another kind": "mysql://u:a-secret@h/d",
            "no URL": "auth",
            "a port too large": "postgresql://u:a-secret@h:65536/d",
            "a negative port": "postgresql://u:a-secret@h:-1/d",
            "a blank": "postgresql://u:a-secret@h/d d",
        }
        for name in ("AUTH_DATABASE_URL", "MOVIES_DATABASE_URL")
    },
    "REDIS_URL": {
        "another kind": "http://u:a-secret@h",
        "no number": "redis://u:a-secret@h:6379/abc",
        "negative": "redis://u:a-secret@h:6379/-1",
        "a port too large": "redis://u:a-secret@h:99999/0",
        "an option misspelt": "redis://u:a-secret@h/0?max_connectoins=5",
    },
    "DATA_FOLDER": {},
    "HEALTH_FILE": {},
    **{
        name: {"a port": "127.0.0.1:80", "a URL": "http://localhost", "a blank": "a b", "a star": "*"}
        for name in ("GATEWAY_HOST", "NOTIFIER_HOST")
    },
    **{
        name: {
            "no scheme": "example.com",
            "a path": "https://example.com/app",
            "a query": "https://example.com?a=1",
            "a user": "https://me@example.com",
            "a star in it": "https://*.example.com",
            "a port too large": "https://example.com:70000",
            "one of two": "https://example.com, nonsense",
        }
        for name in ("NOTIFIER_ORIGINS", "GATEWAY_ORIGINS")
    },
    "SIGNING_KEY_SECRET": {"too large": "s" * 1024, "no text": "\udcff"},
    "LOG_LEVEL": {"no level": "loud", "a number": "15", "negative": "-1", "a truth": "yes"},
}
RATES = {
    "not a number": "many per minute",
    "no unit": "10",
    "zero": "0 per minute",
    "for no time": "10 per 0 minutes",
    "negative": "-10 per minute",
    "too large": "10000000000 per minute",
    "for ages": "10 per 99 years",
    "two of them": "10 per minute; 100 per hour",
}
NUMBERS = {
    "not a number": "many",
    "negative": "-1",
    "too large": "99999999999999999999",
    "endless": "inf",
    "no number at all": "nan",
    "a truth": "yes",
    "of the clock": "1:30",
    "a list": "1, 2",
    "in letters of another script": "①",
}
TRUTHS = {"not a number": "perhaps", "negative": "-1", "too large": "2"}


def cases() -> list[tuple[str, str, str]]:
    """(variable, what is wrong, the value): every setting with a variable, in every way to be wrong."""
    made = []
    for variable, name in model.VARIABLES.items():
        kind = model.Settings.model_fields[name].annotation
        wrong = {int: NUMBERS, float: NUMBERS, bool: TRUTHS}.get(kind, RATES) | {"empty": ""}
        if name in TEXTS:
            wrong = TEXTS[name] | ({} if MAY_BE_EMPTY[name] else {"empty": ""})
        made += [(variable, what, value) for what, value in wrong.items()]
    return made
