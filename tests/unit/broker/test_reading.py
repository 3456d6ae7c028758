"""What comes in over AMQP is read, or marked as unreadable, and never raises."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import kombu
import pytest
from amqp import spec
from amqp.exceptions import UnexpectedFrame
from amqp.serialization import loads
from kombu.transport import pyamqp

from broker.reading import (
    KEPT_BODY_BYTES,
    MOST_BODY_BYTES,
    BrokerConnection,
    Channel,
    Connection,
    Content,
    Message,
    frame_handler,
    unreadable,
)
from tests.poison.cases import Case, header_cases, property_cases
from tests.poison.frames import content_header, long, longlong, short, table

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
DELIVER = struct.pack("!HH", *spec.Basic.Deliver)
ARGUMENTS = short(b"tag") + longlong(1) + b"\x00" + short(b"") + short(b"q")


class Reader:
    """The frames of a connection, and the methods that came of them."""

    def __init__(self) -> None:
        self.connection = SimpleNamespace(bytes_recv=0)
        self.methods: list[tuple[int, Any, bytes, Any]] = []
        self.on_frame = frame_handler(self.connection, lambda *method: self.methods.append(method))

    def deliver(self, header: bytes, *bodies: bytes, channel: int = 1) -> Content:
        self.on_frame((METHOD, channel, DELIVER + ARGUMENTS))
        self.on_frame((HEADER, channel, header))
        for body in bodies:
            self.on_frame((BODY, channel, body))
        content = self.methods.pop()[3]
        assert isinstance(content, Content)
        return content


@pytest.mark.parametrize("case", [*property_cases(), *header_cases()], ids=lambda case: case.name)
def test_a_message_is_read_or_marked(case: Case) -> None:
    header = content_header(case.properties, 2)
    content = Reader().deliver(header, b"{}")
    wrong = unreadable(content)
    assert (wrong is None) == case.legible
    assert content.body == b"{}"
    if wrong is not None:
        assert header[12:].startswith(wrong.header)


def test_a_message_comes_in_pieces_and_beside_those_of_other_channels() -> None:
    reader = Reader()
    reader.on_frame((METHOD, 1, DELIVER + ARGUMENTS))
    reader.on_frame((HEADER, 1, content_header({}, 4)))
    assert reader.deliver(content_header({}, 0), channel=2).body == b""
    reader.on_frame((HEARTBEAT, 0, b""))
    assert not reader.on_frame((BODY, 1, b"ab"))
    assert reader.on_frame((BODY, 1, b"cd"))
    assert reader.methods[0][3].body == b"abcd"
    assert reader.connection.bytes_recv == 7


def test_a_body_that_is_too_large_is_cut_short_while_it_comes_in() -> None:
    size = MOST_BODY_BYTES + 100_000
    piece = b"x" * 100_000
    pieces = [piece] * (size // len(piece)) + [b"x" * (size % len(piece))]
    content = Reader().deliver(content_header({}, size), *pieces)
    wrong = unreadable(content)
    assert wrong is not None
    assert str(size) in wrong.reason
    assert content.body == b"x" * KEPT_BODY_BYTES


def test_frames_out_of_their_order_are_the_brokers_fault() -> None:
    for frame in ((HEADER, 1, content_header({}, 0)), (BODY, 1, b"x")):
        with pytest.raises(UnexpectedFrame):
            Reader().on_frame(frame)


def test_a_routing_key_that_is_no_text_is_escaped() -> None:
    heard = deliver_to_a_channel(b"movies.\xff")
    wrong = unreadable(heard)
    assert wrong is not None
    assert "UnicodeDecodeError" in wrong.reason
    assert heard.delivery_info["routing_key"] == "movies.\\xff"
    assert heard.delivery_info["delivery_tag"] == 200


def test_a_routing_key_of_255_bytes_that_are_no_text_stays_within_its_bounds() -> None:
    assert len(deliver_to_a_channel(b"\xff" * 255).delivery_info["routing_key"]) == 255


def test_a_routing_key_of_other_letters_is_as_it_was() -> None:
    heard = deliver_to_a_channel("movies.фильм".encode())
    assert unreadable(heard) is None
    assert heard.delivery_info["routing_key"] == "movies.фильм"


def deliver_to_a_channel(routing_key: bytes) -> Any:
    channel = Channel(Connection(), 1)
    heard: list[Any] = []
    channel.callbacks["tag"] = heard.append
    reader = Reader()
    arguments = short(b"tag") + longlong(200) + b"\x01" + short(b"nameko-rpc") + short(routing_key)
    reader.on_frame((METHOD, 1, DELIVER + arguments))
    reader.on_frame((HEADER, 1, content_header({}, 0)))
    channel.dispatch_method(*reader.methods[0][1:])
    return heard[0]


def test_what_calls_itself_compressed_is_not_unpacked() -> None:
    headers = table((b"compression", b"S" + long(b"application/x-gzip")))
    content = Reader().deliver(content_header({"headers": headers}, 2), b"{}")
    content.delivery_info = {"delivery_tag": 1}
    message = Message(content)
    assert message.body == b"{}"
    assert message.headers == {"compression": "application/x-gzip"}
    assert not message.errors


@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
def test_our_connections_read_so(scheme: str) -> None:
    connection = BrokerConnection(f"{scheme}://guest@127.0.0.1//")
    transport = connection.get_transport_cls()
    assert issubclass(transport, pyamqp.Transport)
    assert transport.Connection.Channel is Channel
    assert connection.as_uri().startswith(f"{scheme}://")
    assert connection.clone().get_transport_cls() is transport


def test_a_broker_in_memory_is_kombus() -> None:
    memory = kombu.Connection("memory://").get_transport_cls()
    assert BrokerConnection("memory://").get_transport_cls() is memory


@pytest.mark.parametrize("key", [b"a.key", b"\xff\xfe", "ключ".encode()])
def test_what_comes_back_or_is_fetched_is_read_so_too(key: bytes) -> None:
    reader = Reader()
    for method, arguments in (
        (spec.Basic.Return, b"\x01\x38" + short(b"NO_ROUTE") + short(b"exchange") + short(key)),
        (spec.Basic.GetOk, longlong(255) + b"\x00" + short(b"exchange") + short(key) + b"\x00\x00\x00\xff"),
    ):
        reader.on_frame((METHOD, 1, struct.pack("!HH", *method) + arguments))
        reader.on_frame((HEADER, 1, content_header({}, 0)))
        _, _, payload, content = reader.methods.pop()
        values, _ = loads({spec.Basic.Return: "Bsss", spec.Basic.GetOk: "Lbssl"}[method], payload, 4)
        assert key.decode("utf-8", "backslashreplace") in values
        assert (unreadable(content) is None) == (key != b"\xff\xfe")
