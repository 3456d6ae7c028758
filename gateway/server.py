"""The web server: aiohttp's, on eventlet's event loop. On SIGTERM it sees every connection to its end."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from typing import Any, Protocol, runtime_checkable

import eventlet
from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestPayloadError
from eventlet.event import Event
from eventlet.hubs import get_hub
from nameko.extensions import DependencyProvider, ProviderCollector, SharedExtension
from werkzeug.routing import Map

from broker import config, hub
from broker.doors import files
from broker.doors.answers import Answer
from broker.doors.clients import client_address
from broker.doors.door import Bounds, Door, Patience
from broker.doors.origins import Origins
from broker.doors.refusals import CUT_SHORT, Refusal
from broker.draining import Draining
from broker.errors import Invalid, ServiceUnavailable
from broker.readiness import LOOK_SECONDS, Trouble, TroubleLog, troubles
from gateway.access_log import AccessLog
from gateway.application import HEALTH, JsonApplication
from gateway.bridge import in_greenlet
from gateway.places import Places
from gateway.requests import Request
from gateway.responses import failure
from gateway.throttles import Throttles

_log = logging.getLogger(__name__)

# Nameko has imported and patched what it needs by now, and nothing waits yet.
hub.select()

BODY_BYTES = 128 * 1024
AUTH_BODY_BYTES = 8 * 1024
AUTH = "/api/auth/"
LOOK_AGAIN_SECONDS = 0.02
# Once the port is closed, beside the settings' GATEWAY_STOP_GRACE: for what is arriving, and then for all the
# rest. A request that arrives at the very end of the one still has the other to be answered in.
ARRIVAL_SECONDS = 3.0
ANSWER_SECONDS = 7.0


@runtime_checkable
class Needed(Protocol):
    """A dependency provider that the gateway cannot serve without. Readiness asks all that there are."""

    rank: int  # of several reasons the one of the lowest rank is told

    def why_not_ready(self) -> Trouble | str | None:
        """A sentence for people, or None where all is well. Must wait for nothing."""


class JsonServer(ProviderCollector, SharedExtension):
    """The front door of a service's container, on GATEWAY_HOST and GATEWAY_PORT."""

    throttles = Throttles()
    draining = Draining()

    def __init__(self) -> None:
        super().__init__()
        self.stopping = False
        self._started = False
        self._listening = False
        self._draining: Any = None

    def setup(self) -> None:
        self._settings = settings = config.settings(self.container.config)
        fit = files.connections_that_fit(
            files.raise_limit(), self.container.config.get(files.DOORS, 1), settings.GATEWAY_CONNECTIONS
        )
        self.draining.by(self.drain)
        self._origins = Origins(settings.gateway_origins)
        self._access_log = AccessLog(settings.GATEWAY_LOG_RATE)
        self._places = Places(settings.GATEWAY_ADDRESS_CONCURRENCY)
        self._door = Door(
            Patience(
                settings.GATEWAY_HEADERS_TIMEOUT, settings.GATEWAY_SEND_TIMEOUT, settings.GATEWAY_IDLE_TIMEOUT
            ),
            Bounds(
                fit,
                settings.GATEWAY_ADDRESS_CONNECTIONS,
                settings.GATEWAY_ADDRESS_REQUESTS,
                settings.proxies,
            ),
            self._origins,
        )

    def start(self) -> None:
        if self._started:
            return  # every route's entrypoint starts it
        self._started = True
        self._door.bind("GATEWAY", self._settings.GATEWAY_HOST, self._settings.GATEWAY_PORT)
        # Clients that find nobody here go elsewhere; after a 503 they would not. Without an end to it,
        # though, a gateway that cannot serve could not even be asked why.
        deadline = time.monotonic() + self._settings.GATEWAY_START_TIMEOUT
        while any(self.troubles()) and not self.stopping and time.monotonic() < deadline:
            eventlet.sleep(LOOK_AGAIN_SECONDS)
        if self.stopping:
            return
        self._application = JsonApplication(self._url_map(), self._origins, self.throttles.count_read)
        self.container.spawn_managed_thread(self._tell_of_troubles, identifier="readiness")
        listening: Event = Event()
        get_hub().loop.call_soon(self._listen, listening)
        listening.wait()
        self._listening = True

    def _listen(self, listening: Event) -> None:
        loop = asyncio.get_running_loop()
        server = web.Server(self._answer, request_factory=Incoming, loop=loop)  # type: ignore[arg-type]
        try:
            self._door.listen(server)
        except config.ConfigurationError as error:
            listening.send_exception(error)
        else:
            listening.send()

    def troubles(self) -> Iterator[Trouble]:
        """Why the gateway is not ready; none where it is. Asks nobody: it is all known."""
        if self.stopping:
            yield Trouble("The gateway is stopping")
        needed = [each for each in self.container.dependencies if isinstance(each, Needed)]
        yield from troubles(each.why_not_ready for each in sorted(needed, key=attrgetter("rank")))

    def _tell_of_troubles(self) -> None:
        said = TroubleLog(_log, "the gateway")
        while not self.stopping:
            said.tell(next(self.troubles(), None))
            eventlet.sleep(LOOK_SECONDS)

    def drain(self) -> None:
        """Say that the gateway is stopping, and serve as before for DRAIN_SECONDS; then take no more
        connections in, and see those there are to their end. Returns when they are gone.
        """
        if self._draining is None:
            self._draining = eventlet.spawn(self._drain)
        self._draining.wait()

    def stop(self) -> None:
        self.drain()
        self.wait_for_providers()

    def _url_map(self) -> Map:
        url_map = Map()
        for provider in self._providers:
            rule = provider.get_url_rule()
            rule.endpoint = provider
            url_map.add(rule)
        return url_map

    def _drain(self) -> None:
        self.stopping = True
        if not self._listening:
            return  # it never got to listen
        eventlet.sleep(self._settings.DRAIN_SECONDS)
        self._door.close()
        # A client that sends now and then does not know yet, and what it sends on a connection that we closed
        # in the same moment would be lost on it. So it is told with its next answer.
        if self._all_gone(self._settings.GATEWAY_STOP_GRACE):
            return
        for connection in self._door.shares.idle():
            connection.stop_reading()
        if self._all_gone(ARRIVAL_SECONDS):
            return
        for connection in list(self._door.connections):
            connection.stop_reading()
        if not self._all_gone(ANSWER_SECONDS):
            _log.warning("stopping with %d connections left", len(self._door.connections))

    def _all_gone(self, seconds: float) -> bool:
        """Whether the last connection has ended; waits for it for so long."""
        deadline = time.monotonic() + seconds
        while self._door.connections and time.monotonic() < deadline:
            eventlet.sleep(LOOK_AGAIN_SECONDS)
        return not self._door.connections

    async def _answer(self, incoming: "Incoming") -> Answer:
        began = time.monotonic()
        message = incoming.message
        forwarded = message.headers.get("X-Forwarded-For", "") if self._settings.proxies else ""
        client = client_address(incoming.protocol.peer, forwarded, self._settings.proxies)
        request = Request(message.method, message.path, message.headers, client)
        try:
            with self._share(request):
                if incoming.payload is not EMPTY_PAYLOAD:
                    # Before anything else, so that whoever answers never waits for the client.
                    request.raw_body = await self._body(incoming, request.path)
                await self._take_place(incoming, request)
                response = await in_greenlet(self._application, request)
        except (Refusal, Invalid, ServiceUnavailable) as error:
            self._application.tell_of(request, error)
            response = failure(error, request.request_id)
        self._access_log.tell(request, response.status_code, began)
        return Answer(response.status_code, self._application.headers(request, response), response.get_data())

    async def _take_place(self, incoming: "Incoming", request: Request) -> None:
        """Wait for a place among what is worked on of this client; it is free again when the answer is sent.

        Raises ServiceUnavailable where that takes as long as an answer may.
        """
        request.answer_by = time.monotonic() + self._settings.RPC_TIMEOUT
        if not request.path.startswith(HEALTH):
            until = asyncio.get_running_loop().time() + self._settings.RPC_TIMEOUT
            await self._places.enter(request.client_address, until)
            incoming.protocol.afterwards = partial(self._places.leave, request.client_address)

    @contextmanager
    def _share(self, request: Request) -> Iterator[None]:
        """One request more of its client's at work. Raises Refusal where that is too many."""
        if request.path.startswith(HEALTH):
            yield  # a balancer that asks on behalf of everybody; it waits for nothing
            return
        shares, client = self._door.shares, request.client_address
        if not shares.begins(client):
            raise Refusal(429)
        try:
            yield
        finally:
            shares.ends(client)

    async def _body(self, incoming: "Incoming", path: str) -> bytes:
        """The body, whole. Raises Refusal, and Invalid where it ends too early or is not framed as HTTP wants
        it; the connection then ends with the answer.
        """
        headers = incoming.message.headers
        most = AUTH_BODY_BYTES if path.startswith(AUTH) else BODY_BYTES
        if int(headers.get("Content-Length", 0)) > most:
            raise _too_large(most)
        incoming.invite()
        payload = incoming.payload
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._settings.GATEWAY_BODY_TIMEOUT):
                while not payload.at_eof():
                    pieces.append(await payload.readany())
                    size += len(pieces[-1])
                    if size > most:
                        raise _too_large(most)
        except TimeoutError:
            raise Refusal(408) from None
        except (RequestPayloadError, ConnectionError):
            raise Invalid(CUT_SHORT, {"body": "did not arrive whole"}) from None
        return b"".join(pieces)


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"The body is too large: {most // 1024} KiB at most")


class Incoming:
    """A request as aiohttp's RequestHandler wants it, and no more than that."""

    __slots__ = ("_message", "_task", "payload", "protocol")

    def __init__(self, message: Any, payload: Any, protocol: Any, _writer: Any, task: Any) -> None:
        self._message = message
        self.payload = payload
        self.protocol = protocol
        self._task = task

    @property
    def message(self) -> Any:
        """Its head, as the parser gives it."""
        return self._message

    def invite(self) -> None:
        """Ask a client that waits for it for its body. What else one may expect was refused with its head."""
        waits = "Expect" in self.message.headers and self.message.version >= (1, 1)
        if waits and self.protocol.transport is not None:
            self.protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _finish(self) -> None:
        """Nothing is left to do."""

    def _cancel(self, error: BaseException) -> None:
        if not self.payload.is_eof():
            self.payload.set_exception(error)


class FrontDoor(DependencyProvider):
    """Injects the web server, for whoever must know whether it can serve."""

    server = JsonServer()

    def get_dependency(self, worker_ctx: Any) -> JsonServer:  # noqa: ARG002
        return self.server
