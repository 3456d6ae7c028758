"""Where a request begins and ends: aiohttp's parser, and what RFC 9112 asks beyond it.

A proxy in front and we must never differ about that: whoever gets us to could hide a request in another one.
https://www.rfc-editor.org/rfc/rfc9112
"""

import re
import time
from typing import Any

from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, RequestPayloadError, _ErrInfo

from broker.doors.refusals import Refusal

LINE_BYTES = 8190  # of the address, and of one header
HEADERS = 100
HEADERS_BYTES = 32 * 1024
# A body in chunks takes more bytes than it has, and the parser reads a line between two of them however long.
WIRE_BYTES = 1024 * 1024
# What is read at once: of requests that come one behind the other, few more than may wait.
PIECE_BYTES = 4096

# One blank between the three, and nothing else; characters beyond ASCII in the address are our leniency.
_FIRST_LINE = re.compile(rb"(?:\r\n)*[A-Z-]+ ([!-\"$-~\x80-\xff]+) HTTP/1\.[01]\r\n")
_VERSION = re.compile(rb"(?:\r\n)*[!#$%&'*+.^_`|~0-9A-Za-z-]+ +[^ \r\n]+(?: +HTTP/(\d\.\d))? *\r?\n")
_TOKEN_LINE = re.compile(rb"(?:\r\n)*[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-\"$-~]+ HTTP/1\.[01]\r\n")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
# RFC 3986's host and port, without the comma, as which two Hosts that became one would show.
_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\])(?::[0-9]{0,5})?")
# What the parser says of some of its errors, and we.
_PARSERS_WORDS: dict[str, tuple[int, str]] = {
    "Too many headers": (431, ""),
    "Content-Length overflow": (413, ""),
    "'Host'": (400, "The request must have one header Host"),
}
_ORIGIN = re.compile(rb"\r\norigin:[ \t]*([!-~]+)\r\n", re.IGNORECASE)
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")


def path_and_query(target: str) -> tuple[str, str]:
    """What a request's target asks for, whether in the origin form or in the absolute one."""
    if not target.startswith("/") and (absolute := _ABSOLUTE.match(target)):
        target = target[absolute.end() :]
        target = target if target.startswith("/") else "/" + target
    path, _, query = target.partition("?")
    return path, query


def fault(message: Any) -> Refusal | None:
    """What is wrong with the head that aiohttp's parser has let through."""
    if message.version not in ((1, 1), (1, 0)):
        return Refusal(505)
    if message.method == "CONNECT":
        return Refusal(501, "This is no proxy")
    if not _is_target(message.path):
        return Refusal(400, "The address is not valid")
    return _fault_of_headers(message.headers, message.version)


def _fault_of_headers(headers: Any, version: tuple[int, int]) -> Refusal | None:
    if (coding := headers.get("Transfer-Encoding")) is not None:
        if version == (1, 0):
            return Refusal(400, "HTTP/1.0 has no Transfer-Encoding")
        if coding.lower() != "chunked":
            return Refusal(501)
    host = headers.get("Host")
    if host is not None and not _HOST.fullmatch(host):
        return Refusal(400, "The header Host is not valid")
    expected = headers.get("Expect")
    return Refusal(417) if expected is not None and expected.lower() != "100-continue" else None


def _is_target(target: str) -> bool:
    if target[0] == "/" or target == "*":
        return "#" not in target
    absolute = _ABSOLUTE.match(target)
    return absolute is not None and _HOST.fullmatch(absolute[1]) is not None and "#" not in target


class Framing:
    """Stands where a RequestHandler of aiohttp has its parser.

    What is no request comes out as the error that ends the connection, and nothing that follows it is read.
    `started` is when the head that has not arrived whole began to come, or None.
    """

    def __init__(self, parser: Any) -> None:
        """`parser`: one that never stops by itself between two requests."""
        self._parser = parser
        self.pause_reading = parser.pause_reading
        self.message_consumed = parser.message_consumed
        self.set_upgraded = parser.set_upgraded
        self.started: float | None = None
        self.is_over = False
        self.origin: str | None = None  # of the page that sent what was refused
        self._rest = b""  # not read yet, for want of room in the queue
        self._head = b""  # of the request that is arriving
        self._begins_anywhere = False  # whether that may begin in the middle of a piece that we have seen
        self._payload: Any = EMPTY_PAYLOAD
        self._wire = 0

    @property
    def is_in_body(self) -> bool:
        """Whether more of a body is to come."""
        return not self._payload.is_eof()

    def feed_data(self, data: bytes) -> tuple[Any, bool, bytes]:
        """The requests whose heads have arrived whole, as aiohttp's parser gives them: a bounded number."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        if len(data) <= PIECE_BYTES:
            return self._feed(data)
        complete: list[Any] = []
        for end in range(PIECE_BYTES, len(data) + PIECE_BYTES, PIECE_BYTES):
            messages, upgraded, tail = self._feed(data[end - PIECE_BYTES : end])
            complete += messages
            if upgraded:
                return complete, True, tail + data[end:]
            if len(complete) >= MAX_MSG_QUEUE_SIZE:
                self._rest = data[end:]
                break
        return complete, False, b""

    def refuse(self, refusal: Refusal) -> tuple[Any, Any]:
        """Read nothing more; the refusal as one of the requests that `feed_data` gives."""
        return self._refuse((), refusal)[0][0]

    def feed_eof(self) -> None:
        """Nothing more comes: a body that has not arrived whole never will."""
        self.is_over = True
        self._break_off(RequestPayloadError("the connection ended"))

    def forget(self) -> None:
        """The connection is gone: let go of the parser, which knows it, and of what has arrived of a body.

        Otherwise they would keep each other until a full collection, and a crowd of bodies with them.
        """
        self.is_over = True
        self._rest = self._head = b""
        self._payload = EMPTY_PAYLOAD
        self._parser = None
        self.pause_reading = self.message_consumed = self.set_upgraded = _nothing

    def _feed(self, data: bytes) -> tuple[Any, bool, bytes]:
        if self.is_over:
            return (), False, b""
        if self.is_in_body:
            return self._feed_body(data)
        if not self._head and not data.isascii():
            data = _in_ascii(data)
        head = self._head + data if self._head else data
        try:
            messages, upgraded, tail = self._parser.feed_data(data)
        except HttpProcessingError as error:
            self._head = head
            return self._refuse((), _refusal(error, head))
        if not messages:
            return self._wait(head)
        if not self._begins_anywhere and not _FIRST_LINE.match(head):
            return self._refuse((), _bad_first_line(head))
        return self._checked(messages, upgraded, tail, head)

    def _feed_body(self, data: bytes) -> tuple[Any, bool, bytes]:
        self._wire += len(data)
        try:
            messages, upgraded, tail = self._parser.feed_data(data)
        except HttpProcessingError as error:
            if self.is_in_body:
                self.is_over = True
                self._break_off(RequestPayloadError(str(error)))
                return (), False, b""
            self._head = data
            return self._refuse((), _refusal(error, data))
        if self._wire > WIRE_BYTES and self.is_in_body:
            self.is_over = True
            self._break_off(Refusal(413))
            return (), False, b""
        return self._checked(messages, upgraded, tail, data) if messages else (messages, upgraded, tail)

    def _checked(self, messages: Any, upgraded: bool, tail: bytes, data: bytes) -> tuple[Any, bool, bytes]:
        for number, (message, payload) in enumerate(messages):
            refusal = fault(message)
            if refusal is None and len(data) > HEADERS_BYTES and _size(message) > HEADERS_BYTES:
                refusal = Refusal(431)
            if refusal is not None:
                self.origin = message.headers.get("Origin")
                return self._refuse(messages[:number], refusal)
            self._payload = payload
        if not upgraded and "Upgrade" in messages[-1][0].headers:
            self.is_over = True  # to what we do not speak; the parser loses what came with it
        self._wire, self.started, self._head = 0, None, b""
        self._begins_anywhere = self._payload is not EMPTY_PAYLOAD
        if not self._begins_anywhere and not upgraded and not data.endswith(b"\r\n\r\n"):
            self._wait(data[data.rfind(b"\r\n\r\n") + 4 :])
        return messages, upgraded, tail

    def _wait(self, head: bytes) -> tuple[Any, bool, bytes]:
        if not head:
            return (), False, b""
        self._head = head
        if self.started is None:
            self.started = time.monotonic()
        if len(head) > HEADERS_BYTES:
            return self._refuse((), Refusal(431))
        return (), False, b""

    def _refuse(self, messages: Any, refusal: Refusal) -> tuple[Any, bool, bytes]:
        if found := _ORIGIN.search(self._head):
            self.origin = found[1].decode()
        self.is_over, self._head, self.started = True, b"", None
        return [*messages, refused(refusal)], False, b""

    def _break_off(self, error: Exception) -> None:
        if self.is_in_body:
            self._payload.set_exception(error)


def _nothing(*_: Any) -> None:
    """What a parser has to do for a connection that is gone."""


def refused(refusal: Refusal) -> Any:
    """A refusal as aiohttp's RequestHandler takes it in, among its requests."""
    return _ErrInfo(refusal.status, refusal, refusal.sentence), EMPTY_PAYLOAD


def _in_ascii(data: bytes) -> bytes:
    """The first line with what is beyond ASCII percent-encoded, as the parser wants it."""
    end = data.find(b"\r\n", 2)
    line = data[: end if end >= 0 else len(data)]
    return _BEYOND_ASCII.sub(lambda found: b"%%%02X" % found[0][0], line) + data[len(line) :]


def _size(message: Any) -> int:
    return len(message.path) + sum(len(name) + len(value) + 4 for name, value in message.raw_headers)


def _bad_first_line(head: bytes) -> Refusal:
    found = _VERSION.match(head)
    if found and found[1] not in (b"1.0", b"1.1"):
        return Refusal(505)
    return Refusal(400, "The first line of the request is not valid")


def _refusal(error: HttpProcessingError, head: bytes) -> Refusal:
    if isinstance(error, LineTooLong):
        return Refusal(431 if b"\r\n" in head.lstrip(b"\r\n")[:LINE_BYTES] else 414)
    text = str(error)
    if _TOKEN_LINE.match(head) and "Invalid method" in text:
        return Refusal(501, "There is no such method here")
    found = _VERSION.match(head)
    if found and found[1] not in (None, b"1.0", b"1.1"):
        return Refusal(505)
    return next((Refusal(*told) for part, told in _PARSERS_WORDS.items() if part in text), Refusal(400))
