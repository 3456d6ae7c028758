"""What is sent: every property and header of AMQP 0-9-1 with values outside what clients expect, and bodies
that are not what they should be.
"""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.poison.frames import array, long, longlong, nested, octet, short, table

MILLISECONDS = 1_780_000_000_000  # a time as JavaScript has it: as seconds, in the year 58375
TEXTS = (
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "message_id",
    "type",
    "app_id",
    "cluster_id",
)


@dataclass(frozen=True)
class Case:
    """One way to be wrong. `properties` and `body` are put over those of a message that is right.

    `legible`: whether its properties are such that a client can decode them.
    """

    name: str
    properties: Mapping[str, bytes] = field(default_factory=dict)
    body: bytes | None = None
    legible: bool = True


def property_cases() -> Iterator[Case]:
    for name in TEXTS:
        yield Case(f"{name}: no UTF-8", {name: short(b"\xff\xfe\x80")}, legible=False)
        yield Case(f"{name}: 255 bytes that are no UTF-8", {name: short(b"\xff" * 255)}, legible=False)
        yield Case(f"{name}: cut in a character", {name: short("naïve".encode()[:3])}, legible=False)
        yield Case(f"{name}: a lone surrogate", {name: short(b"\xed\xa0\x80")}, legible=False)
        yield Case(f"{name}: Latin-1", {name: short("Zoë".encode("latin-1"))}, legible=False)
        yield Case(f"{name}: 255 bytes", {name: short(b"x" * 255)})
        yield Case(f"{name}: NUL", {name: short(b"a\0b")})
        yield Case(f"{name}: empty", {name: short(b"")})
        yield Case(f"{name}: line breaks and escapes", {name: short(b"\r\n\x1b[31m")})
        yield Case(f"{name}: characters of four bytes", {name: short("🎬".encode() * 63)})
    for encoding in (b"gzip", b"zlib", b"rot13", b"utf-16", b"bz2", b"idna", b"no-such-encoding"):
        yield Case(f"content_encoding: {encoding.decode()}", {"content_encoding": short(encoding)})
    for kind in (
        b"application/x-python-serialize",
        b"application/x-yaml",
        b"application/data",
        b"text/plain",
    ):
        yield Case(f"content_type: {kind.decode()}", {"content_type": short(kind)})
    for number in (0, 1, 2, 3, 255):
        yield Case(f"delivery_mode: {number}", {"delivery_mode": octet(number)})
        yield Case(f"priority: {number}", {"priority": octet(number)})
    for number in (0, MILLISECONDS, 2**53 + 1, 2**63, 2**64 - 1):
        yield Case(f"timestamp: {number}", {"timestamp": longlong(number)})
    for expiration in (b"60000", b"4294967295"):
        yield Case(f"expiration: {expiration.decode()}", {"expiration": short(expiration)})
    yield Case("user_id: our own", {"user_id": short(b"guest")})
    yield from address_cases()


def address_cases() -> Iterator[Case]:
    """Addresses of replies that are none."""
    token = b"amq.rabbitmq.reply-to."
    for name, address in {
        "a direct reply-to of nobody's": token
        + b"g1h3DnJlcGx5QGxvY2FsaG9zdAAAAXUAAAAAZR3Y7w==.Hb0gVVZQsXtrQ==",
        "a direct reply-to without a token": token,
        "a direct reply-to of two dots": token + b"..",
        "a direct reply-to of another alphabet": token + b"!!!",
        "a direct reply-to of one letter": token + b"A",
        "a direct reply-to of zeros": token + b"AAAA.AAAA",
        "a direct reply-to with blanks": token + b" . ",
        "an exchange's name": b"nameko-rpc",
        "our own queue": b"rpc-movies",
        "our own routing key": b"movies.nothing",
        "a wildcard": b"#",
    }.items():
        yield Case(f"reply_to: {name}", {"reply_to": short(address)})


def header_cases() -> Iterator[Case]:
    values: dict[str, bytes] = {
        "true": b"t\x01",
        "a bool of 255": b"t\xff",
        "int8": b"b\x80",
        "uint8": b"B\xff",
        "int16": b"s\x80\x00",
        "uint16": b"u\xff\xff",
        "int32": b"I\x80\x00\x00\x00",
        "uint32": b"i\xff\xff\xff\xff",
        "int64": b"l\x80" + bytes(7),
        "int64, the other letter": b"L\x7f" + b"\xff" * 7,
        "float": b"f" + struct.pack("!f", 1.5),
        "float NaN": b"f" + struct.pack("!f", float("nan")),
        "double": b"d" + struct.pack("!d", 1e308),
        "double NaN": b"d" + struct.pack("!d", float("nan")),
        "double infinity": b"d" + struct.pack("!d", float("-inf")),
        "decimal": b"D\x02" + struct.pack("!i", 12345),
        "decimal of scale 255": b"D\xff" + struct.pack("!i", -(2**31)),
        "decimal of no scale": b"D\x00" + struct.pack("!i", 2**31 - 1),
        "text": b"S" + long(b"a text"),
        "text of 255 bytes": b"S" + long(b"x" * 255),
        "text of 20,000 bytes": b"S" + long(b"x" * 20_000),
        "text that is no UTF-8": b"S" + long(b"\xff\xfe"),
        "bytes": b"x" + long(b"\xff\x00\xfe"),
        "nothing": b"V",
        "an empty array": b"A" + array(),
        "an array of all kinds": b"A" + array(b"t\x01", b"V", b"S" + long(b"x"), b"F" + table()),
        "a thousand numbers": b"A" + array(*[b"b\x01"] * 1000),
        "an empty table": b"F" + table(),
        "a table in a table": nested(2),
        "20 tables deep": nested(20),
        "a time": b"T" + longlong(1_780_000_000),
        "the first second": b"T" + longlong(0),
    }
    for name, value in values.items():
        yield Case(f"header: {name}", {"headers": table((b"x-sent", value))})
    illegible: dict[str, bytes] = {
        "a time in milliseconds": b"T" + longlong(MILLISECONDS),
        "the year 10000": b"T" + longlong(253_402_300_800),
        "a time of 2^63": b"T" + longlong(2**63),
        "a time of 2^64 - 1": b"T" + longlong(2**64 - 1),
        "a time in milliseconds, deep": b"A" + array(b"F" + table((b"x", b"T" + longlong(MILLISECONDS)))),
        "3,000 tables deep": nested(3000),
        "a lone surrogate": b"S" + long(b"\xed\xa0\x80"),
        "text of 100,000 bytes": b"S" + long(b"x" * 100_000),
        "20,000 numbers": b"A" + array(*[b"b\x01"] * 20_000 * 2),
    }
    for name, value in illegible.items():
        yield Case(f"header: {name}", {"headers": table((b"x-sent", value))}, legible=False)
    for name in (b"\xff\xfe", b"x" * 255, b"", b"a\0b", "ключ".encode()):
        yield Case(f"header named {name[:8]!r}", {"headers": table((name, b"t\x01"))})
    yield from spoken_header_cases()


def spoken_header_cases() -> Iterator[Case]:
    """Headers that somebody on the way takes for his own."""
    kinds = {
        "a number": b"I" + bytes(4),
        "no UTF-8": b"S" + long(b"\xff\xfe"),
        "a table": b"F" + table((b"a", b"V")),
        "an array": b"A" + array(b"V", b"t\x00"),
        "nothing": b"V",
    }
    names = (
        b"compression", b"content_type", b"nameko.call_id_stack", b"nameko.answer_by", b"nameko.language",
        b"x-death", b"x-delivery-count", b"x-queue", b"x-error", b"x-attempts", b"x-died-at", b"x-properties",
        b"x-stream-offset", b"answer_by", b"unreadable",
    )  # fmt: skip
    for name in names:
        for kind, value in kinds.items():
            yield Case(f"header {name.decode()}: {kind}", {"headers": table((name, value))})
    for form in (b"application/x-gzip", b"application/x-bzip2", b"zstd", b"no-such-form"):
        yield Case(
            f"header compression: {form.decode()}", {"headers": table((b"compression", b"S" + long(form)))}
        )


def body_cases(whole: Mapping[str, Any]) -> Iterator[Case]:
    """Bodies that are not JSON as it should be; `whole` is one that is right."""
    bodies = {
        "empty": b"",
        "no JSON": b"no JSON",
        "half of it": json.dumps(whole).encode()[:-3],
        "no UTF-8": b'{"a": "\xff\xfe"}',
        "a surrogate in bytes": b'{"a": "\xed\xa0\x80"}',
        "an unpaired surrogate": b'{"a": "\\ud800"}',
        "a surrogate as a key": b'{"\\udfff": 1}',
        "UTF-16": json.dumps(whole).encode("utf-16"),
        "a BOM": b"\xef\xbb\xbf" + json.dumps(whole).encode(),
        "NUL": b"\0\0\0\0",
        "a pickle": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94.",
        "a gzip bomb": gzip.compress(bytes(20 * 2**20)),
        "null": b"null",
        "true": b"true",
        "a number": b"42",
        "a text": b'"text"',
        "an array": b"[1, 2]",
        "an empty object": b"{}",
        "2,000 arrays deep": b'{"a": ' + b"[" * 2000 + b"]" * 2000 + b"}",
        "900 arrays deep": b'{"args": [' + b"[" * 900 + b"]" * 900 + b'], "kwargs": {}}',
        "NaN": b'{"args": [NaN], "kwargs": {}}',
        "Infinity": b'{"args": [-Infinity], "kwargs": {}}',
        "1e999": b'{"args": [1e999], "kwargs": {}}',
        "6,000 digits": b'{"args": [' + b"9" * 6000 + b'], "kwargs": {}}',
    }
    for name, body in bodies.items():
        yield Case(f"body: {name}", body=body)
    for size in (3, 9, 20):
        yield Case(f"body: {size} MiB", body=b'{"a": "' + b"x" * (size * 2**20) + b'"}', legible=size < 8)


def values_that_are_wrong() -> dict[str, Any]:
    """What stands where another value should, as JSON can hold it."""
    return {
        "null": None,
        "true": True,
        "-1": -1,
        "2^53 + 1": 2**53 + 1,
        "2^63": 2**63,
        "2^64": 2**64,
        "2^200": 2**200,
        "1.5": 1.5,
        "-0.0": -0.0,
        "1e308": 1e308,
        "empty text": "",
        "NUL": "a\0b",
        "101 characters": "x" * 101,
        "100,000 characters": "x" * 100_000,
        "a bidi override": "\u202egnp.exe",
        "an array": [],
        "a table": {},
        "deep": json.loads("[" * 200 + "]" * 200),
    }


def call_cases(arguments: list[Any]) -> Iterator[Case]:
    for name, value in values_that_are_wrong().items():
        for place in range(len(arguments)):
            wrong = [*arguments[:place], value, *arguments[place + 1 :]]
            yield _with_body(f"argument {place}: {name}", {"args": wrong, "kwargs": {}})
        yield _with_body(f"args: {name}", {"args": value, "kwargs": {}})
        yield _with_body(f"kwargs: {name}", {"args": arguments, "kwargs": value})
        yield _with_body(f"unknown argument: {name}", {"args": arguments, "kwargs": {"no_such": value}})


def event_cases(event: Mapping[str, Any]) -> Iterator[Case]:
    for name, value in values_that_are_wrong().items():
        for path in _paths(event):
            yield _with_body(f"{'.'.join(path)}: {name}", _replaced(event, path, value))
    for path in _paths(event):
        yield _with_body(f"{'.'.join(path)}: missing", _replaced(event, path))


def _with_body(name: str, body: Any) -> Case:
    return Case(name, body=json.dumps(body).encode())


def _paths(event: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in event.items():
        yield (*above, name)
        if isinstance(value, Mapping):
            yield from _paths(value, (*above, name))


def _replaced(event: Mapping[str, Any], path: tuple[str, ...], *value: Any) -> dict[str, Any]:
    copy = dict(event)
    if len(path) > 1:
        copy[path[0]] = _replaced(copy[path[0]], path[1:], *value)
    elif value:
        copy[path[0]] = value[0]
    else:
        del copy[path[0]]
    return copy
