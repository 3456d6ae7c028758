"""What the HTTP server refuses before there is a request, in the form of every other error."""

import re
import secrets
import socket
from contextlib import suppress
from typing import Any

import eventlet
import orjson
from nameko.web.server import HttpOnlyProtocol

from gateway.responses import SENTENCES

LINGER_SECONDS = 1
LINGER_BYTES = 1024 * 1024
CHUNK_BYTES = 64 * 1024
_REFUSAL = re.compile(rb"HTTP/1\.[01] ([45]\d\d) ")


class JsonProtocol(HttpOnlyProtocol):
    """Nameko's protocol, whose own refusals are JSON: a line too long, headers too large, no HTTP at all."""

    wfile: Any

    def setup(self) -> None:
        super().setup()
        self.wfile = _JsonRefusals(self.wfile)

    def handle_one_request(self) -> None:
        super().handle_one_request()
        if self.wfile.refused:
            self._linger()

    def _linger(self) -> None:
        """Take in what the client still sends, within bounds: closed on unread bytes, a connection is reset,
        and the client does not get to see the refusal.
        """
        with suppress(OSError), eventlet.Timeout(LINGER_SECONDS, False):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            left = LINGER_BYTES
            while left > 0 and (chunk := self.connection.recv(CHUNK_BYTES)):
                left -= len(chunk)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        self.wfile.write(b"HTTP/1.0 %d \r\n" % code)
        self.close_connection = 1


class _JsonRefusals:
    """A connection's output. eventlet writes refusals with `write`, and answers with `writelines`."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.refused = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> Any:
        refusal = _REFUSAL.match(data)
        self.refused = self.refused or refusal is not None
        return self._file.write(_refusal(int(refusal[1])) if refusal else data)


def _refusal(status: int) -> bytes:
    request_id = secrets.token_hex(16)
    body = orjson.dumps({"message": SENTENCES.get(status, SENTENCES[400]), "request_id": request_id})
    head = (
        f"HTTP/1.1 {status} Refused\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"X-Request-ID: {request_id}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
