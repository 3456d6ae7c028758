"""Whole answers, written in one piece."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from aiohttp.client_exceptions import ClientConnectionResetError

from broker.doors.origins import Origins
from broker.doors.refusals import RETRY_SECONDS, Refusal, error_body, request_id

# A browser must not take an answer for anything but what it says it is.
EVERY_ANSWER = (("X-Content-Type-Options", "nosniff"),)
_LINES = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n" for each in HTTPStatus}


class Answer:
    """What aiohttp's RequestHandler takes for a response, without what it does to build one.

    `headers` are all that there are, but for Content-Length and Connection.
    """

    __slots__ = ("_body", "_has_body", "_headers", "_request", "keep_alive", "status")

    def __init__(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.keep_alive = True
        self._headers = headers
        self._body = body
        self._has_body = status >= 200 and status not in (204, 304)

    def force_close(self) -> None:
        self.keep_alive = False

    async def prepare(self, request: Any) -> None:
        self._request = request
        if request._message.should_close:
            self.keep_alive = False

    async def write_eof(self) -> None:
        """Write it; returns when the kernel has taken it all. Raises ConnectionError."""
        message, protocol = self._request._message, self._request.protocol
        transport = protocol.transport
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError("the client is gone")
        head = [
            _LINES[self.status],
            *[f"{name}: {value}\r\n" for name, value in self._headers],
        ]
        if self._has_body:
            head.append(f"Content-Length: {len(self._body)}\r\n")
        if not self.keep_alive:
            head.append("Connection: close\r\n")
        elif message.version < (1, 1):
            head.append("Connection: keep-alive\r\n")
        head.append("\r\n")
        data = "".join(head).encode("latin-1")
        if self._has_body and message.method != "HEAD":
            data += self._body
        self._body = b""  # aiohttp keeps the answer until the connection's next one
        transport.write(data)
        del data
        if protocol.writing_paused:
            await protocol._drain_helper()


def refusal_answer(refusal: Refusal, request: Any, origins: Origins) -> Answer:
    """The answer that says so; `request` is aiohttp's, or stands for one whose head nobody could read."""
    headers = request._message.headers
    identifier = request_id(headers.get("X-Request-ID", ""))
    retry = (("Retry-After", RETRY_SECONDS),) if refusal.status in (429, 503) else ()
    origin = headers.get("Origin") or request.protocol.framing.origin
    return Answer(
        refusal.status,
        (
            ("Content-Type", "application/json"),
            ("X-Request-ID", identifier),
            ("Cache-Control", "no-store"),
            *EVERY_ANSWER,
            *origins.headers(origin),
            *retry,
        ),
        error_body(refusal.sentence, identifier),
    )
