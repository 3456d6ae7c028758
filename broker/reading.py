"""Reading from a broker to which anybody may write: a message that cannot be decoded ends at that message.

py-amqp decodes a message's properties while it reads, before anybody could say what becomes of the message.
What raises there (bytes that are no UTF-8, a date beyond the year 9999, a table in a thousand tables) raises
in whoever reads, for all messages of the connection, and again wherever the broker gives the message out
next. Here such a message comes in like any other, with an `Unreadable` in place of its properties. So does
one that is larger than anything that is said here, cut short while it comes in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from struct import unpack_from
from typing import Any

import amqp
import kombu
from amqp import spec
from amqp.exceptions import UnexpectedFrame
from amqp.serialization import dumps, loads
from kombu.transport import base, pyamqp

from broker import tls

# Where the properties of a message would be; no name of AMQP's.
UNREADABLE = "unreadable"
MOST_BODY_BYTES = 8 * 2**20  # pages, the largest that is said here, have two
MOST_HEADER_BYTES = 32 * 1024  # decoding more takes longer than a message may
KEPT_BODY_BYTES = 64 * 1024  # of one that is too large
REASON_CHARACTERS = 200

_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
# The methods that have a content, and what they carry beside it.
_WITH_CONTENT = {spec.Basic.Deliver: "sLbss", spec.Basic.GetOk: "Lbssl", spec.Basic.Return: "Bsss"}
_NAMES_BEGIN = 4 + 1 + 8 + 1  # method, length of the consumer tag, delivery tag, a bit
_HEADER_BEGINS = 12  # bytes of a content header before the properties
_FLAG_BYTES = 2
_SHORT_STRING_BYTES = 255
_SIZES = {"L": 8, "l": 4, "B": 2, "b": 1}  # beside short strings


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a message cannot be read, and what its properties were as they came, cut to MOST_HEADER_BYTES."""

    reason: str
    header: bytes

    @classmethod
    def because(cls, error: Exception, header: bytes) -> "Unreadable":
        # Not repr(): a decoding error's holds all the bytes that it is about.
        return cls(f"{type(error).__name__}: {error}"[:REASON_CHARACTERS], header[:MOST_HEADER_BYTES])


def unreadable(message: Any) -> Unreadable | None:
    """What is wrong with a message of kombu's or the driver's; None where it could be read."""
    return message.properties.get(UNREADABLE)


class Content(amqp.Message):
    """A message that is coming in."""

    properties: dict[str, Any]

    def inbound_header(self, buf: bytes, offset: int = 0) -> int:
        class_id, self.body_size = unpack_from(">HxxQ", buf, offset)
        begin = offset + _HEADER_BEGINS
        self.body = b""
        try:
            if len(buf) > MOST_HEADER_BYTES:
                raise ValueError(f"properties of {len(buf)} bytes")
            self._load_properties(class_id, buf, begin)
            if not buf[begin + _FLAG_BYTES :].isascii():
                _check_text(self.properties)
            if self.body_size > MOST_BODY_BYTES:
                raise ValueError(f"a body of {self.body_size} bytes")
        except Exception as error:  # whatever the library makes of what anybody sends
            self.properties = {UNREADABLE: Unreadable.because(error, buf[begin:])}
        self.ready = not self.body_size
        return begin

    def inbound_body(self, buf: bytes) -> None:
        if self.body_size <= MOST_BODY_BYTES:
            super().inbound_body(buf)
            return
        self.body_received += len(buf)
        self.body += buf[: KEPT_BODY_BYTES - len(self.body)]
        self.ready = self.body_received >= self.body_size


def frame_handler(connection: Any, callback: Callable[..., None]) -> Callable[[Any], bool]:
    """What py-amqp gives each frame to: it calls `callback` with every method, and its content if it has one.

    It answers whether the frame was the last one of something.
    """
    arriving: dict[int, Content] = {}

    def on_frame(frame: tuple[int, int, bytes]) -> bool:
        kind, channel, payload = frame
        connection.bytes_recv += 1
        if kind == _HEARTBEAT:
            return False
        content = arriving.get(channel)
        if kind != (_METHOD if content is None else _BODY if content.body_size else _HEADER):
            raise UnexpectedFrame(f"a frame of type {kind}")
        if content is None:
            method = unpack_from(">HH", payload)
            if method not in _WITH_CONTENT:
                callback(channel, method, payload, None)
                return True
            arriving[channel] = Content(frame_method=method, frame_args=payload)
            return False
        if kind == _HEADER:
            content.inbound_header(payload)
        else:
            content.inbound_body(payload)
        if not content.ready:
            return False
        del arriving[channel]
        method, payload = content.frame_method, content.frame_args
        if not _names(method, payload).isascii():
            payload = _legible(method, payload, content)
        callback(channel, method, payload, content)
        return True

    return on_frame


def _names(method: tuple[int, int], payload: bytes) -> bytes:
    """The part of a method in which exchange and routing key are; what is before is the broker's or ours."""
    if method == spec.Basic.Deliver:
        return payload[_NAMES_BEGIN + payload[4] :]
    return payload[4:]


def _legible(method: tuple[int, int], payload: bytes, content: Content) -> bytes:
    """A method's payload, in which what is no UTF-8 was escaped and the content marked for it."""
    types = _WITH_CONTENT[method]
    try:
        _check_text(loads(types, payload, 4)[0])
    except UnicodeError as error:
        header = content.properties.get(UNREADABLE, Unreadable("", b"")).header
        content.properties = {UNREADABLE: Unreadable.because(error, header)}
        return payload[:4] + dumps(types, _escaped(types, payload[4:]))
    return payload


class Message(pyamqp.Message):
    """A message as it came: one that calls itself compressed is not unpacked, to whatever that might grow."""

    def __init__(self, msg: Any, channel: Any = None, **options: Any) -> None:
        properties = msg.properties
        base.Message.__init__(
            self,
            body=msg.body,
            channel=channel,
            delivery_tag=msg.delivery_tag,
            content_type=properties.get("content_type"),
            content_encoding=properties.get("content_encoding"),
            delivery_info=msg.delivery_info,
            properties=properties,
            **options,
        )
        self.headers = properties.get("application_headers") or {}


class Channel(pyamqp.Channel):
    Message = Message


class Connection(pyamqp.Connection):
    """A connection that reads as this module says."""

    Channel = Channel

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"frame_handler": frame_handler, **options})


class Transport(pyamqp.Transport):
    Connection = Connection


class SecureTransport(pyamqp.SSLTransport):
    Connection = Connection

    def establish_connection(self) -> Any:
        self.client.ssl = tls.options(self.client.ssl, self.client.hostname)
        return super().establish_connection()


class BrokerConnection(kombu.Connection):
    """kombu's connection, over such a transport where the broker speaks AMQP."""

    def get_transport_cls(self) -> Any:
        chosen = super().get_transport_cls()
        return {pyamqp.Transport: Transport, pyamqp.SSLTransport: SecureTransport}.get(chosen, chosen)


def _check_text(value: Any) -> None:
    """Raises UnicodeEncodeError for lone surrogates, which the library lets through and nobody else does."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, dict):
        for each in (*value, *value.values()):
            _check_text(each)
    elif isinstance(value, list):
        for each in value:
            _check_text(each)


def _escaped(types: str, payload: bytes) -> list[Any]:
    """The arguments of a method, their short strings as text in any case."""
    values: list[Any] = []
    at = 0
    for each in types:
        if each == "s":
            data = payload[at + 1 : at + 1 + payload[at]]
            text = data.decode("utf-8", "backslashreplace").encode()[:_SHORT_STRING_BYTES]
            values.append(text.decode("utf-8", "ignore"))
            at += 1 + len(data)
        else:
            values.append(int.from_bytes(payload[at : at + _SIZES[each]], "big"))
            at += _SIZES[each]
    return values
