"""One HTTP connection of a front door: aiohttp's, with bounds on what a client sends and how long it takes.

aiohttp waits an hour for a next request, and for ever on a head that drips and an answer that nobody reads.
"""

import asyncio
import logging
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from aiohttp import web
from aiohttp.http import HttpRequestParser
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

from broker.doors.answers import refusal_answer
from broker.doors.framing import HEADERS, LINE_BYTES, Framing, refused
from broker.doors.origins import Origins
from broker.doors.refusals import Refusal
from broker.doors.shares import Shares

_log = logging.getLogger(__name__)

READ_BYTES = 64 * 1024
NEVER = 86400.0 * 365
LINGER_SECONDS = 2.0
LINGER_BYTES = 8 * 1024 * 1024
_ABORT = struct.pack("ii", 1, 0)


class Entered(Protocol):
    """What a connection knows of its front door."""

    stopping: bool
    origins: Origins
    shares: Shares

    def enter(self, connection: "Connection") -> None:
        """A connection is open."""

    def leave(self, connection: "Connection") -> None:
        """It is gone."""

    def watch(self, connection: "Connection") -> None:
        """It has more to take than the kernel takes for it."""


class Connection(RequestHandler):
    """A connection from its first byte to its last. `refusal` is what it is answered in any case."""

    def __init__(self, door: Entered, server: web.Server, peer: str, refusal: Refusal | None = None) -> None:
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {"access_log": None, "lingering_time": 0}
        super().__init__(server, loop=loop, keepalive_timeout=NEVER, **options)
        parser = HttpRequestParser(
            self,
            loop,
            READ_BYTES,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
            max_headers=HEADERS,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
        )
        self._parser: Any = Framing(parser)
        self.framing: Framing = self._parser
        self.peer = peer
        self.door = door
        self.refusal = refusal
        self.since = time.monotonic()  # since when nothing has been asked
        self.asked = False  # whether anything was, ever
        self.afterwards: Callable[[], None] | None = None  # once the answer that is made now is sent, or lost
        self.stuck_since: float | None = None  # since when the kernel takes no more of an answer
        self._line: asyncio.Transport | None = None  # what is left of it while it lingers
        self._left_to_linger = LINGER_BYTES
        self._end_of_lingering: asyncio.TimerHandle | None = None
        self._at_work = False  # whether a request is being answered
        self._ended = False  # whether the client has said that it sends nothing more

    @property
    def is_websocket(self) -> bool:
        """Whether it has become one, which has bounds of its own."""
        return self._upgraded and self._payload_parser is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # With nothing in its buffer the kernel has taken the answer; until then, the next request waits.
        transport.set_write_buffer_limits(high=0)  # type: ignore[attr-defined]
        self.door.enter(self)
        if self._force_close:  # its place went to another one before it was there
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.stuck_since = None
        if self._end_of_lingering is not None:
            # Or it would hold all of this until its time: megabytes, of a thousand clients a second.
            self._end_of_lingering.cancel()
        self.door.leave(self)
        super().connection_lost(exc)
        self.framing.forget()

    def data_received(self, data: bytes) -> None:
        if self._line is not None:
            self._left_to_linger -= len(data)
            if self._left_to_linger < 0:
                self._line.abort()
            return
        super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether there is still something to answer: a client may say that it sends nothing more."""
        if self._line is not None:
            return False
        self._ended = True
        self.framing.feed_eof()
        if self._is_waiting:
            return False
        self._end_when_idle()
        return True

    @property
    def _is_waiting(self) -> bool:
        """Whether everything that came is answered, and whoever answers waits for more."""
        return not self._messages and self._waiter is not None and not self._waiter.done()

    def _end_when_idle(self) -> None:
        """Close it once nothing is left to answer. Before the first request and after each answer it takes
        some turns of the loop until whoever answers waits; a client that left meanwhile would hold its place.
        """
        if self.transport is None or self.transport.is_closing() or self._line is not None:
            return
        if self._is_waiting:
            self.transport.close()
        elif not (self._at_work or self._upgraded):
            self._loop.call_soon(self._end_when_idle)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.stuck_since = time.monotonic()
        self.door.watch(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.stuck_since = None

    async def start(self) -> None:
        await super().start()
        if self._line is not None:
            self._linger(self._line)

    async def _handle_request(self, request: Any, start_time: Any, request_handler: Any) -> Any:
        self.asked = True
        self._at_work = True
        self.door.shares.work(self)
        try:
            if self.refusal is not None:
                request_handler = self._make_error_handler(refused(self.refusal)[0])
            return await super()._handle_request(request, start_time, request_handler)
        finally:
            self.since = time.monotonic()
            self._at_work = False
            self.door.shares.rest(self)
            if self._ended:
                self._end_when_idle()
            if self.afterwards is not None:
                self.afterwards()
                self.afterwards = None

    async def finish_response(self, request: Any, resp: Any, start_time: Any) -> tuple[Any, bool]:
        nothing_follows = self._ended or self.framing.is_over or self.door.stopping
        cannot_go_on = self.refusal is not None or self.framing.is_in_body
        if cannot_go_on or (nothing_follows and not self._messages):
            resp.force_close()
        done = await super().finish_response(request, resp, start_time)
        if not resp.keep_alive and not self._upgraded:
            # Closed on bytes that nobody read, a connection is reset, and the answer lost on its way.
            self._line = self.transport
            self._force_close = True
        return done

    def handle_error(
        self,
        request: Any,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002
    ) -> Any:
        """The answer where something went wrong outside of the application."""
        if not isinstance(exc, Refusal):
            _log.error("a request failed", exc_info=exc)
            exc = Refusal(status if status in (400, 504) else 500)
        answer = refusal_answer(exc, request, self.door.origins)
        answer.force_close()
        return answer

    def interrupt(self, refusal: Refusal) -> None:
        """Refuse the request whose head is arriving."""
        self._messages.append(self.framing.refuse(refusal))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def abort(self) -> None:
        """End it at once: nobody reads what the kernel still holds for this client."""
        if self.transport is not None:
            connection = self.transport.get_extra_info("socket")
            if connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            self.transport.abort()

    def stop_reading(self) -> None:
        """What has arrived is still read; whoever waits for more is told that nothing more comes."""
        if self.transport is not None:
            with suppress(OSError):
                self.transport.get_extra_info("socket").shutdown(socket.SHUT_RD)

    def _linger(self, line: asyncio.Transport) -> None:
        """Say that nothing more will come, and take in what the client still sends, within bounds."""
        if line.is_closing():
            return
        line.resume_reading()
        if self._ended or not line.can_write_eof():
            line.close()
            return
        line.write_eof()
        self._end_of_lingering = self._loop.call_later(LINGER_SECONDS, line.close)
