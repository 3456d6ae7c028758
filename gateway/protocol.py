"""One HTTP connection: eventlet's protocol with bounds on what a client sends, and on how long it takes.

eventlet waits for ever on a client that says nothing, drips, or does not read its answer. Here every wait has
a deadline, counted for the whole of what is waited for, so that a byte now and then buys no more time.
"""

import io
import re
import secrets
import socket
import struct
import time
from contextlib import suppress
from typing import Any
from wsgiref.types import WSGIEnvironment

import orjson
from eventlet.wsgi import MAX_HEADER_LINE, STATE_REQUEST
from nameko.web.server import HttpOnlyProtocol
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout

from broker.errors import Invalid
from gateway.responses import RETRY_SECONDS, SENTENCES

# Where the application finds the connection that a request came by.
CONNECTION = "gateway.connection"

HEADERS_BYTES = 32 * 1024
BODY_BYTES = 1024 * 1024
# A body in chunks takes more bytes than it has, and eventlet reads a line between two of them however long.
WIRE_BYTES = 8 * BODY_BYTES
LINGER_SECONDS = 2.0
LINGER_BYTES = 8 * BODY_BYTES
PIECE_BYTES = 64 * 1024
_REFUSAL = re.compile(rb"HTTP/1\.[01] ([45]\d\d) ")
_ABORT = struct.pack("ii", 1, 0)


class JsonProtocol(HttpOnlyProtocol):
    """A connection from its first byte to its last. What it refuses by itself it refuses in JSON."""

    rfile: Any
    wfile: Any

    def setup(self) -> None:
        self.connection = self.request
        # Answers go out whole, so holding back the last piece of one gains nothing.
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self._settings = self.server.settings
        self._input = _Input(self.connection)
        self._unread = False  # whether the client may still be sending what nobody will read
        self._wait = self._settings.GATEWAY_HEADERS_TIMEOUT
        self.rfile = io.BufferedReader(self._input)
        self.wfile = _Output(self.connection, self._settings.GATEWAY_SEND_TIMEOUT)

    def finish(self) -> None:
        if self.wfile.stuck:
            # Nobody reads what the kernel still holds for this client.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        elif self._unread or self.wfile.refused:
            linger(self.connection)
        self.connection.close()

    def _read_request_line(self) -> bytes:
        """The first line of the next request; nothing where none comes in time."""
        try:
            self._input.expect(self._wait)
            if not self.rfile.peek(1):
                return b""
        except OSError:
            return b""
        self._wait = self._settings.GATEWAY_IDLE_TIMEOUT
        self.conn_state[2] = STATE_REQUEST
        self._input.expect(self._settings.GATEWAY_HEADERS_TIMEOUT)
        try:
            line: bytes = self.rfile.readline(self.server.url_length_limit)
        except TimeoutError:
            self.send_error(408)
            return b""
        return line

    def parse_request(self) -> bool:
        # eventlet has put a reader of its own in front, and puts the first one back afterwards.
        self.rfile = _HeaderLines(self.rfile.fp)
        try:
            if not super().parse_request():
                return False
            if refusal := self._misframed():
                self.send_error(refusal)
                return False
        except TimeoutError:
            self.send_error(408)
        except _TooMuch:
            self.send_error(431)
        except ConnectionAbortedError:
            self.close_connection = 1
        else:
            return True
        return False

    def _misframed(self) -> int | None:
        """The status of the refusal where it cannot be said for sure where the body ends."""
        lengths = set(self.headers.get_all("Content-Length", []))
        if len(lengths) > 1 or any(not (each.isascii() and each.isdigit()) for each in lengths):
            return 400
        codings = self.headers.get_all("Transfer-Encoding", [])
        return 501 if codings and [each.lower() for each in codings] != ["chunked"] else None

    def get_environ(self) -> WSGIEnvironment:
        environ: WSGIEnvironment = super().get_environ()
        environ[CONNECTION] = self
        return environ

    def receive_body(self) -> bytes:
        """The body of the request at hand, whole.

        Raises RequestEntityTooLarge (413), RequestTimeout (408), and Invalid where it ends too early or is
        not framed as HTTP wants it; the connection then ends with the answer.
        """
        body = self.environ["eventlet.input"]
        if not (body.chunked_input or body.content_length):
            return b""
        closes, self.close_connection, self._unread = self.close_connection, 1, True
        if (body.content_length or 0) > BODY_BYTES:
            raise RequestEntityTooLarge
        self._input.expect(self._settings.GATEWAY_BODY_TIMEOUT)
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := body.read(PIECE_BYTES):
                pieces.append(piece)
                size += len(piece)
                if size > BODY_BYTES:
                    raise RequestEntityTooLarge
        except TimeoutError as error:
            raise RequestTimeout from error
        except _TooMuch as error:
            raise RequestEntityTooLarge from error
        except (ValueError, OSError) as error:
            raise _cut_short() from error
        if size < (body.content_length or 0):
            raise _cut_short()
        self.close_connection, self._unread = closes, False
        return b"".join(pieces)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        self.close_connection = 1
        with suppress(OSError):
            self.wfile.write(b"HTTP/1.0 %d \r\n" % code)


def refuse(connection: Any, status: int, seconds: float) -> None:
    """Answer a connection that there is no room for, and close it."""
    with suppress(OSError):
        _Output(connection, seconds).write(b"HTTP/1.0 %d \r\n" % status)
        linger(connection)
    connection.close()


def linger(connection: Any) -> None:
    """Say that nothing more will come, and take in what the client still sends, within bounds.

    A connection closed on unread bytes is reset, and the client does not get to see its answer.
    """
    deadline = time.monotonic() + LINGER_SECONDS
    left = LINGER_BYTES
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while left > 0:
            connection.settimeout(_seconds_until(deadline))
            chunk = connection.recv(PIECE_BYTES)
            if not chunk:
                return
            left -= len(chunk)


def stop_reading(connection: Any) -> None:
    """What has arrived is still read; whoever waits for more is told that nothing more comes."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RD)


class _TooMuch(Exception):
    """The client sent more than is read for what it is sending."""


class _Input(io.RawIOBase):
    """What a client sends: bounded, and until a deadline."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.expect(0)

    def expect(self, seconds: float) -> None:
        """From now on something may come for `seconds`."""
        self._deadline = time.monotonic() + seconds
        self._left = WIRE_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises TimeoutError and _TooMuch, and OSError for a connection that is broken."""
        if self._left <= 0:
            raise _TooMuch
        self._connection.settimeout(_seconds_until(self._deadline))
        received: int = self._connection.recv_into(buffer)
        self._left -= received
        return received


class _HeaderLines:
    """The lines of a request's headers, within bounds."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left = HEADERS_BYTES

    def readline(self, _: int = -1) -> bytes:
        """Raises _TooMuch, and ConnectionAbortedError where they end in the middle: that is no request."""
        line: bytes = self._file.readline(MAX_HEADER_LINE + 1)
        self._left -= len(line)
        if len(line) > MAX_HEADER_LINE or self._left < 0:
            raise _TooMuch
        if not line:
            raise ConnectionAbortedError
        return line


class _Output:
    """What a client is sent, each answer within `seconds`.

    eventlet writes refusals with `write`, which makes JSON of them, and answers with `writelines`.
    """

    def __init__(self, connection: Any, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self.refused = False
        self.stuck = False

    def writelines(self, parts: list[bytes]) -> None:
        self._send(b"".join(parts))

    def write(self, data: bytes) -> None:
        if refusal := _REFUSAL.match(data):
            self.refused = True
            data = _refusal(int(refusal[1]))
        self._send(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def _send(self, data: bytes) -> None:
        deadline = time.monotonic() + self._seconds
        rest = memoryview(data)
        try:
            while rest:
                self._connection.settimeout(_seconds_until(deadline))
                rest = rest[self._connection.send(rest) :]
        except TimeoutError:
            self.stuck = True
            raise


def _seconds_until(deadline: float) -> float:
    """Raises TimeoutError where it is over."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _cut_short() -> Invalid:
    return Invalid("The body did not arrive whole", {"body": "did not arrive whole"})


def _refusal(status: int) -> bytes:
    request_id = secrets.token_hex(16)
    body = orjson.dumps({"message": SENTENCES.get(status, SENTENCES[400]), "request_id": request_id})
    retry = f"Retry-After: {RETRY_SECONDS}\r\n" if status == 503 else ""
    head = (
        f"HTTP/1.1 {status} Refused\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"X-Request-ID: {request_id}\r\n{retry}Connection: close\r\n\r\n"
    )
    return head.encode() + body
