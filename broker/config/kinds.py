"""What a setting may be. A value that may be read in one way only is brought into the form that is used."""

import ipaddress
import logging
import re
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

MEMORY_BROKER = "memory://"
MOST_SECRET_BYTES = 1023  # what OpenSSL encrypts a key with
_BROKERS = ("amqp", "amqps", "pyamqp", "memory")
_CACHES = ("redis", "rediss", "unix")
_DRIVER = "postgresql+psycopg2://"
_PORTS = {"http": 80, "https": 443}
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_LABELS = re.compile(r"[\w.-]+")
_RATE = re.compile(
    r"\s*(\d{1,9})\s*(?:/|per)\s*(?:(\d{1,9})\s*)?(second|minute|hour|day|month|year)s?\s*", re.ASCII | re.I
)
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "month": 86400 * 30, "year": 86400 * 366}
_MOST_PORT = 65535
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True)
class Must:
    """What a value must be, for people: `must be {be}`."""

    be: str


@dataclass(frozen=True)
class Veiled:
    """A value that no line and no table shows: a secret, or a URL, which may hold one."""


def _text(value: Any) -> Any:
    return "" if value is None else value


def _check_port(number: str) -> None:
    if not (number.isascii() and number.isdecimal() and len(number) <= 5 and 1 <= int(number) <= _MOST_PORT):
        raise ValueError(f"has a port that is no whole number from 1 to {_MOST_PORT}")


def _check_authority(rest: str) -> None:
    """Of a URL, what comes behind `scheme://`."""
    if any(each.isspace() or not each.isprintable() for each in rest):
        raise ValueError("holds a blank or a control character")
    _check_host(re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2])


def _check_host(host: str) -> None:
    """With its port, if it has one."""
    if host.startswith("["):
        address, closed, behind = host[1:].partition("]")
        if not closed or not _is_ipv6(address) or (behind and not behind.startswith(":")):
            raise ValueError("has a host in brackets that is no IPv6 address")
        host = behind
    elif host.count(":") > 1:
        raise ValueError("has an IPv6 address without brackets, or more than one port")
    if ":" in host:
        _check_port(host.partition(":")[2])


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _broker(uri: str) -> str:
    """What kombu speaks besides confirms nothing, and an event that is not confirmed may be lost."""
    for each in uri.split(";"):
        scheme, found, rest = each.partition("://")
        if scheme not in _BROKERS or not found:
            raise ValueError("must be an amqp:// or amqps:// URL, or memory://")
        _check_authority(rest)
    return uri


def _database(url: str) -> str:
    """`postgres://` and `postgresql://` as people write them; SQLAlchemy 2.1 would read psycopg 3."""
    if not url:
        return url
    for scheme in ("postgres://", "postgresql://", _DRIVER):
        if url.startswith(scheme):
            rest = url.removeprefix(scheme)
            # As SQLAlchemy reads it: a password may hold anything but `@`.
            _check_authority(rest.partition("@")[2] if "@" in rest else rest)
            return _DRIVER + rest
    raise ValueError("must be a postgresql:// URL")


def _cache(url: str) -> str:
    if not url:
        return url
    scheme, found, rest = url.partition("://")
    if scheme not in _CACHES or not found:
        raise ValueError("must be a redis://, rediss:// or unix:// URL")
    if scheme != "unix":
        _check_authority(rest)
        # The client takes any other path for the database 0.
        database = rest.rpartition("@")[2].partition("?")[0].partition("/")[2]
        if database and not (database.isascii() and database.isdecimal() and len(database) <= 5):
            raise ValueError("must name a database by its number, as in redis://localhost:6379/0")
    if "?" in rest:
        _check_options(url)
    return url


def _check_options(url: str) -> None:
    import redis  # seldom needed here, and slow to come

    try:
        redis.ConnectionPool.from_url(url).make_connection()
    except (TypeError, ValueError) as error:
        raise ValueError("has an option that the client of Redis does not know") from error


def _secret(text: str) -> str:
    try:
        if len(text.encode()) <= MOST_SECRET_BYTES:
            return text
    except UnicodeEncodeError:
        pass
    raise ValueError(f"must be UTF-8 of {MOST_SECRET_BYTES} bytes at most")


def _host(text: str) -> str:
    host = text.strip()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if ":" in host:
        if not _is_ipv6(host):
            raise ValueError("must be an address or a host name, without a port")
    elif not _LABELS.fullmatch(host):
        raise ValueError("must be an address or a host name (0.0.0.0: all of IPv4, :: all there are)")
    return host


def _origins(text: str) -> str:
    return ",".join(_origin(each) for each in listed(text))


def _origin(text: str) -> str:
    """As browsers write it (https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin)."""
    if text in ("*", "null"):
        return text
    parts = urlsplit(text)
    try:
        host, port = parts.hostname, parts.port
        name = host.encode("idna").decode("ascii") if host and ":" not in host else host
    except ValueError as error:  # UnicodeError among them
        raise ValueError(f"holds {text!r}, which is no origin") from error
    if not name or not _SCHEME.fullmatch(parts.scheme) or "*" in text:
        raise ValueError(f"holds {text!r}: must be origins such as https://example.com, or *")
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"holds {text!r}: an origin has no user, no path and no query")
    shown = f"[{name}]" if ":" in name else name
    default = port is None or port == _PORTS.get(parts.scheme)
    return f"{parts.scheme}://{shown}" + ("" if default else f":{port}")


def listed(text: str) -> list[str]:
    """The members of a list that is written with commas."""
    return [each.strip() for each in text.split(",") if each.strip()]


def _rate(text: str) -> str:
    # As `limits` reads it; but of two rates that takes the first, and 0 of anything for 1.
    written = _RATE.fullmatch(text)
    if not written or not int(written[1]) or not int(written[2] or 1):
        raise ValueError("must be one rate, such as 10 per 15 minutes")
    if int(written[2] or 1) * _UNITS[written[3].lower()] > _UNITS["year"]:
        raise ValueError("must be a rate within a year at most")
    return text


def level(value: Any) -> str:
    """The name of a level of `logging`, whatever its case, or of its number. Raises ValueError."""
    name = str(value).strip().upper()
    number = int(name) if name.isascii() and name.isdecimal() else logging.getLevelNamesMapping().get(name)
    if number is not None and (found := logging.getLevelName(number)) in _LEVELS:
        return str(found)
    raise ValueError(f"must be one of {', '.join(_LEVELS)}")


Text = Annotated[str, BeforeValidator(_text), Must("text, or empty")]
Filled = Annotated[Text, Field(min_length=1), Must("text, and not empty")]
Secret = Annotated[
    Text, AfterValidator(_secret), Must(f"text of {MOST_SECRET_BYTES} bytes at most, or empty"), Veiled()
]
Broker = Annotated[Text, AfterValidator(_broker), Must("an amqp:// or amqps:// URL, or memory://"), Veiled()]
DatabaseUrl = Annotated[Text, AfterValidator(_database), Must("a postgresql:// URL, or empty"), Veiled()]
CacheUrl = Annotated[Text, AfterValidator(_cache), Must("a redis:// URL, or empty"), Veiled()]
Host = Annotated[Text, AfterValidator(_host), Must("an address or a host name, without a port")]
Origins = Annotated[
    Text, AfterValidator(_origins), Must("origins such as https://example.com, with commas, or *")
]
Rate = Annotated[Text, AfterValidator(_rate), Must("a rate, such as 10 per 15 minutes")]
Level = Annotated[str, BeforeValidator(level), Must(f"one of {', '.join(_LEVELS)}")]
Port = Annotated[int, Field(ge=1, le=_MOST_PORT)]
Seconds = Annotated[float, Field(gt=0, le=86400 * 365)]
