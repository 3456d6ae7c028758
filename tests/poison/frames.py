"""A publisher that writes its AMQP frames itself, so that it can send any bytes where others send text.

The values of properties and headers are functions of this module, which answer the bytes as they travel.
https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, https://www.rabbitmq.com/amqp-0-9-1-errata
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from typing import Self
from urllib.parse import unquote, urlsplit

SECONDS = 10.0
METHOD, HEADER, BODY, HEARTBEAT, END = 1, 2, 3, 8, b"\xce"
FRAME_BYTES = 128 * 1024
CHANNEL = 1

# class and method
START, START_OK, TUNE, TUNE_OK, OPEN, OPEN_OK = (10, 10), (10, 11), (10, 30), (10, 31), (10, 40), (10, 41)
CONNECTION_CLOSE, CHANNEL_OPEN, CHANNEL_OPEN_OK, CHANNEL_CLOSE = (10, 50), (20, 10), (20, 11), (20, 40)
PUBLISH, ACK, NACK, RETURN = (60, 40), (60, 80), (60, 120), (60, 50)
CONFIRM_SELECT, CONFIRM_SELECT_OK = (85, 10), (85, 11)

# In the order in which they travel, each with its flag.
PROPERTIES = (
    "content_type",
    "content_encoding",
    "headers",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
)


class Refused(Exception):
    """The broker closed the channel or the connection over a message: it reaches nobody."""


def short(data: bytes) -> bytes:
    """A short string: up to 255 bytes that should be UTF-8."""
    return bytes([len(data)]) + data


def long(data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + data


def octet(number: int) -> bytes:
    return bytes([number])


def longlong(number: int) -> bytes:
    return struct.pack("!Q", number)


def table(*fields: tuple[bytes, bytes]) -> bytes:
    """Of names and their values, which begin with their type's letter."""
    return long(b"".join(short(name) + value for name, value in fields))


def array(*values: bytes) -> bytes:
    return long(b"".join(values))


def nested(depth: int) -> bytes:
    """A table in a table in a table …"""
    value = b"t\x01"
    for _ in range(depth):
        value = b"F" + table((b"", value))
    return value


def content_header(properties: Mapping[str, bytes], size: int) -> bytes:
    """The payload of a content header frame; `properties` by the names above."""
    flags = sum(1 << (15 - PROPERTIES.index(name)) for name in properties)
    values = b"".join(properties[name] for name in PROPERTIES if name in properties)
    return struct.pack("!HHQH", 60, 0, size, flags) + values


class Publisher:
    """A connection with one channel, on which the broker confirms each message."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 5672), SECONDS)
        self._stream = self._socket.makefile("rb")
        user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
        host = unquote(parts.path[1:]) or "/"
        self._socket.sendall(b"AMQP\x00\x00\x09\x01")
        self._expect(START)
        credentials = long(f"\0{user}\0{password}".encode())
        self._send(0, START_OK, table() + short(b"PLAIN") + credentials + short(b"en_US"))
        self._expect(TUNE)
        self._send(0, TUNE_OK, struct.pack("!HIH", CHANNEL, FRAME_BYTES, 0))
        self._send(0, OPEN, short(host.encode()) + short(b"") + b"\x00")
        self._expect(OPEN_OK)
        self._send(CHANNEL, CHANNEL_OPEN, short(b""))
        self._expect(CHANNEL_OPEN_OK)
        self._send(CHANNEL, CONFIRM_SELECT, b"\x00")
        self._expect(CONFIRM_SELECT_OK)

    def publish(
        self,
        exchange: str,
        routing_key: bytes,
        properties: Mapping[str, bytes],
        body: bytes = b"",
    ) -> None:
        """Returns once the broker has taken the message. Raises Refused; the publisher is of no use then."""
        self._publish(exchange, routing_key, properties, body)
        self._expect(ACK)

    def _publish(
        self, exchange: str, routing_key: bytes, properties: Mapping[str, bytes], body: bytes
    ) -> None:
        arguments = b"\x00\x00" + short(exchange.encode()) + short(routing_key) + b"\x00"
        frames = [
            _frame(METHOD, CHANNEL, struct.pack("!HH", *PUBLISH) + arguments),
            _frame(HEADER, CHANNEL, content_header(properties, len(body))),
        ]
        chunk = FRAME_BYTES - 8
        frames += [_frame(BODY, CHANNEL, body[at : at + chunk]) for at in range(0, len(body), chunk)]
        self._socket.sendall(b"".join(frames))

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _send(self, channel: int, method: tuple[int, int], arguments: bytes) -> None:
        self._socket.sendall(_frame(METHOD, channel, struct.pack("!HH", *method) + arguments))

    def _expect(self, expected: tuple[int, int]) -> bytes:
        """The arguments of that method, which must come next but for heartbeats."""
        while True:
            try:
                kind, _channel, size = struct.unpack("!BHI", self._exactly(7))
                payload = self._exactly(size)
                self._exactly(1)
            except OSError as error:
                raise Refused("the broker has closed the connection") from error
            if kind != METHOD:
                continue
            method = struct.unpack_from("!HH", payload)
            if method == expected:
                return payload[4:]
            if method in (CONNECTION_CLOSE, CHANNEL_CLOSE, NACK):
                raise Refused(payload[7:].decode("utf-8", "backslashreplace"))

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise Refused("the broker has closed the connection")
        return data


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack("!BHI", kind, channel, len(payload)) + payload + END
