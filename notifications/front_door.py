"""The notifier's front door: how long it waits for whom, and every answer in one form.

aiohttp and python-engineio answer errors as text, and say what runs here.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web
from aiohttp.http import StreamWriter

from broker.config import Settings
from broker.doors import files
from broker.doors.answers import EVERY_ANSWER
from broker.doors.door import Bounds, Door, Patience
from broker.doors.origins import Origins
from broker.doors.refusals import SENTENCES, error_body, request_id

_log = logging.getLogger(__name__)

SEND_SECONDS = 30.0  # for a client to take a whole answer; WebSockets have their own bounds
# A client that polls has two connections at times.
CONNECTIONS_OF_A_SESSION = 2
METHODS = {"/socket.io/": "GET, OPTIONS, POST", "*": "GET, HEAD, OPTIONS, POST"}
HEALTH = ("/health/live", "/health/ready")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def front_door(settings: Settings, doors: int) -> Door:
    """The notifier's, in a process that has `doors` of them."""
    asked = settings.NOTIFIER_CONNECTIONS or files.MOST
    connections = files.connections_that_fit(files.raise_limit(), doors, asked)
    # However much one address may have, a quarter is left for the others.
    of_one = min(settings.NOTIFIER_ADDRESS_CONNECTIONS * CONNECTIONS_OF_A_SESSION, connections * 3 // 4)
    return Door(
        Patience(settings.NOTIFIER_CONNECT_TIMEOUT, SEND_SECONDS, settings.NOTIFIER_IDLE_TIMEOUT),
        Bounds(connections, max(1, of_one), connections, settings.proxies),
        Origins(settings.origins),
    )


def serve(door: Door, runner: web.AppRunner) -> None:
    """Let clients in to the application of a runner that was set up."""
    server = runner.server
    if server is None:
        raise RuntimeError("the runner was not set up")
    make = server.request_factory

    def with_our_headers(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> Any:
        writer = _Writer(protocol, asyncio.get_running_loop())
        writer.origin_headers = door.origins.headers(message.headers.get("Origin"))
        return make(message, payload, protocol, writer, task)

    server.request_factory = with_our_headers
    door.listen(server)


class _Writer(StreamWriter):
    """Writes every head of an answer, whoever made it."""

    origin_headers: Any = ()

    async def write_headers(self, status_line: str, headers: Any) -> None:
        headers.popall("Server", None)
        for name, value in EVERY_ANSWER:
            headers[name] = value
        if "Access-Control-Allow-Origin" not in headers:
            for name, value in self.origin_headers:
                headers.setdefault(name, value)
        await super().write_headers(status_line, headers)


def in_one_form(door: Door) -> Any:
    """The middleware that makes JSON of every error, and answers OPTIONS."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return _options(request, door.origins)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            own = None if error.text is None or error.text.startswith(str(error.status)) else error.text
            return _error(
                request, error.status, own or SENTENCES.get(error.status, SENTENCES[400]), error.headers
            )
        except asyncio.CancelledError:
            raise
        except Exception:
            _log.exception("a request failed")
            return _error(request, 500, SENTENCES[500], {})
        if response.status >= 400 and isinstance(response, web.Response):
            body = response.body if isinstance(response.body, bytes) else b""
            return _error(request, response.status, _sentence(response.status, body), response.headers)
        return response

    return answer


def _options(request: web.Request, origins: Origins) -> web.Response:
    methods = "GET, HEAD, OPTIONS" if request.path in HEALTH else METHODS.get(request.path)
    if methods is None:
        return _error(request, 404, SENTENCES[404], {})
    headers = {"Allow": methods}
    if "Origin" in request.headers:
        headers |= origins.preflight(methods)
    return web.Response(status=204, headers=headers)


def _sentence(status: int, body: bytes) -> str:
    """What the error's own body says, where that is JSON, as ours and python-engineio's is."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = None
    if isinstance(said, dict):
        said = said.get("message")
    return said if isinstance(said, str) else SENTENCES.get(status, SENTENCES[400])


def _error(request: web.Request, status: int, sentence: str, headers: Mapping[str, str]) -> web.Response:
    identifier = request_id(request.headers.get("X-Request-ID", ""))
    kept = {
        name: value
        for name, value in headers.items()
        if name in ("Allow", "Retry-After", "Vary") or name.startswith("Access-Control-")
    }
    return web.Response(
        body=error_body(sentence, identifier),
        status=status,
        content_type="application/json",
        headers={**kept, "X-Request-ID": identifier, "Cache-Control": "no-store"},
    )
