"""HTTP under Nameko: every answer is JSON, also the ones that no route gives."""

import logging
import time
from collections.abc import Iterable
from functools import partial
from typing import Any
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIEnvironment

import eventlet
from eventlet import wsgi
from eventlet.event import Event
from nameko.exceptions import ContainerBeingKilled
from nameko.web.handlers import HttpRequestHandler
from nameko.web.server import BindAddress, WebServer
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from broker import config
from broker.errors import PlatformError, ServiceUnavailable
from gateway.protocol import JsonProtocol
from gateway.requests import BODY_BYTES, Request
from gateway.responses import failure

_log = logging.getLogger(__name__)
_access = logging.getLogger("gateway.access")

# How much of a body that is refused is still read, so that the client gets to see the answer.
DRAIN_BYTES = 8 * BODY_BYTES
CHUNK_BYTES = 64 * 1024


class JsonApplication:
    """The WSGI application: finds the route, and turns what goes wrong on the way into JSON."""

    def __init__(self, server: WebServer) -> None:
        self.url_map = server.make_url_map()
        self.url_map.merge_slashes = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began = time.monotonic()
        request = Request.of(environ)
        try:
            provider, request.path_values = self.url_map.bind_to_environ(environ).match()
            response = provider.handle_request(request)
        except HTTPException as error:
            response = failure(error, request.request_id)
        response.headers["X-Request-ID"] = request.request_id
        if response.status_code == 413:
            _drain(request)
            response.headers["Connection"] = "close"
        milliseconds = (time.monotonic() - began) * 1000
        # The path as it may stand in a log, without the query, which may hold what people search for.
        _access.info(
            "%s %s %s %.0f ms %s",
            request.method,
            quote(request.path),
            response.status_code,
            milliseconds,
            request.request_id,
        )
        return response(environ, start_response)


class JsonServer(WebServer):
    """Nameko's web server, on GATEWAY_HOST and GATEWAY_PORT."""

    _sock: Any

    @property
    def bind_addr(self) -> BindAddress:
        settings = config.settings(self.container.config)
        return BindAddress(settings.GATEWAY_HOST, settings.GATEWAY_PORT)

    def start(self) -> None:
        if self._sock is not None:
            return  # every route's entrypoint starts it
        # By default eventlet lets a second gateway share the port, unseen.
        sock = eventlet.listen(self.bind_addr, backlog=1024, reuse_port=False)
        sock.settimeout(None)
        self._sock = sock
        self._serv = self.get_wsgi_server(self._sock, self.get_wsgi_app())
        self._gt = self.container.spawn_managed_thread(self.run)

    def get_wsgi_app(self) -> JsonApplication:
        return JsonApplication(self)

    def get_wsgi_server(
        self, sock: Any, wsgi_app: Any, protocol: Any = JsonProtocol, debug: bool = False
    ) -> Any:
        return wsgi.Server(
            sock, sock.getsockname(), wsgi_app, protocol=protocol, debug=debug, log=_log, log_output=False
        )


class JsonRequestHandler(HttpRequestHandler):
    """`@http(method, url)`: the method gets a `Request` and the URL's values, and answers a Response."""

    server = JsonServer()

    def __init__(self, method: str, url: str, **options: Any) -> None:
        super().__init__(method, url, expected_exceptions=(PlatformError, HTTPException), **options)

    def handle_request(self, request: Request) -> Response:
        try:
            args, kwargs = self.get_entrypoint_parameters(request)
            done = Event()
            self.container.spawn_worker(
                self,
                args,
                kwargs,
                context_data={"request_id": request.request_id},
                handle_result=partial(self.handle_result, done),
            )
            response: Response = done.wait()
        except ContainerBeingKilled:
            return failure(ServiceUnavailable(), request.request_id)
        except (PlatformError, HTTPException) as error:
            return failure(error, request.request_id)
        except Exception as error:
            # Nameko has logged the error with its trace; this line ties it to what the client was told.
            _log.error("%s %s failed: request %s", request.method, request.path, request.request_id)
            return failure(error, request.request_id)
        return response


http = JsonRequestHandler.decorator


def _drain(request: Request) -> None:
    """Read what a client still sends of a refused body, within bounds."""
    left = DRAIN_BYTES
    while left > 0:
        try:
            chunk = request.environ["wsgi.input"].read(min(CHUNK_BYTES, left))
        except OSError:
            return
        if not chunk:
            return
        left -= len(chunk)
