"""What malformed clients send."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.hostile.wire import BINARY, CONTINUATION, FINAL, TEXT, event, frame, header, packet

RESERVED_BIT = 0x40  # a compressed frame, where no compression was agreed on
RESERVED_OPCODE = 3
HALF_A_REQUEST = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgr"


@dataclass(frozen=True)
class Garbage:
    """`data` is sent once, then `more` again and again, until the server closes the connection."""

    name: str
    data: bytes
    more: bytes = b""
    stage: str = "joined"  # how far the client goes before: opened, upgraded, joined


KINDS = [
    Garbage("unknown Engine.IO packet", packet("9 what?")),
    Garbage("empty frame", packet("")),
    Garbage("unknown Socket.IO packet", packet("49")),
    Garbage("JSON that breaks off", packet('42["message",{"user_id":')),
    Garbage("event that is no array", packet('42{"message":1}')),
    Garbage("event without a name", packet("42[]")),
    Garbage("deeply nested JSON", packet("42" + "[" * 8000)),
    Garbage("number of 8,000 digits", packet('42["message",' + "9" * 8000 + "]")),
    Garbage("binary frame", frame(bytes(100), BINARY)),
    Garbage("frame of 20,000 bytes", event("message", 1, user_id=1, room_id="1", message="x" * 20_000)),
    Garbage("frame that says to have 2 TiB", header(2**41) + bytes(4 + 1000)),
    Garbage("bad UTF-8", frame(b'42["message","\xff\xfe"]')),
    Garbage("attachments declared: 99,999", packet('4599999-["x"]')),
    Garbage("attachments declared: 1, none sent", packet('451-["message",{"_placeholder":true,"num":0}]')),
    Garbage(
        "fragments without an end",
        frame(b'42["message","', TEXT, 0),
        more=frame(b"x" * 1000, CONTINUATION, 0),
    ),
    Garbage("fragments of nothing", frame(b"", TEXT, 0), more=frame(b"", CONTINUATION, 0) * 100),
    Garbage("continuation of nothing", frame(b"x", CONTINUATION)),
    Garbage("unmasked frame", bytes([FINAL | TEXT, 2]) + b"42"),
    Garbage("reserved bit", frame(b"42[]", TEXT, FINAL | RESERVED_BIT)),
    Garbage("reserved opcode", frame(b"", RESERVED_OPCODE)),
    Garbage("no CONNECT", b"", stage="upgraded"),
    Garbage("event before CONNECT", event("message", 1, user_id=1, room_id="1"), stage="upgraded"),
    Garbage("half a request", HALF_A_REQUEST, stage="opened"),
]
