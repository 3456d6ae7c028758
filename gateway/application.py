"""The WSGI application: finds the route, and turns what goes wrong on the way into JSON."""

import logging
import time
from collections.abc import Iterable
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map
from werkzeug.wrappers import Response

from broker.errors import PlatformError
from gateway.protocol import CONNECTION
from gateway.requests import Request
from gateway.responses import failure

_log = logging.getLogger(__name__)
_access = logging.getLogger("gateway.access")


class JsonApplication:
    """Every answer is JSON, also the ones that no route gives."""

    def __init__(self, url_map: Map) -> None:
        """The endpoints of `url_map` answer `handle_request(request)`."""
        url_map.merge_slashes = False
        # Bound once: no route depends on the host, and working that out took as long as finding the route.
        self._routes = url_map.bind("")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began = time.monotonic()
        request = Request.of(environ)
        try:
            # Before anything else, so that whoever answers never waits for the client.
            request.raw_body = environ[CONNECTION].receive_body()
            provider, path_values = self._routes.match(request.path, request.method)
            request.path_values = dict(path_values)
            response = provider.handle_request(request)
        except (HTTPException, PlatformError) as error:
            response = failure(error, request.request_id)
        except Exception as error:
            _log.exception("%s %s failed: request %s", request.method, request.path, request.request_id)
            response = failure(error, request.request_id)
        response.headers["X-Request-ID"] = request.request_id
        _log_access(request, response, time.monotonic() - began)
        if request.method == "HEAD":
            return response(environ, start_response)
        # What calling the response comes to where there is no more to it than a body.
        start_response(response.status, response.headers.to_wsgi_list())
        return response.response


def _log_access(request: Request, response: Response, seconds: float) -> None:
    if _access.isEnabledFor(logging.INFO):
        # The path as it may stand in a log, without the query, which may hold what people search for.
        words = (
            request.method,
            quote(request.path),
            response.status_code,
            seconds * 1000,
            request.request_id,
        )
        # What info() makes of it, but for asking the stack who calls: a third of what a line took.
        record = logging.LogRecord(
            _access.name, logging.INFO, __file__, 0, "%s %s %s %.0f ms %s", words, None
        )
        _access.handle(record)
