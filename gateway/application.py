"""The application: finds the route, and turns what goes wrong on the way into JSON."""

import logging
import time
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map
from werkzeug.wrappers import Response

from broker.doors.answers import EVERY_ANSWER
from broker.doors.origins import Origins
from broker.doors.refusals import Refusal
from broker.errors import PlatformError
from gateway.requests import Request
from gateway.responses import failure

_log = logging.getLogger(__name__)
_access = logging.getLogger("gateway.access")

METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
# Of one account, or of one moment.
NEVER_STORED = ("/api/auth/", "/health/")


class JsonApplication:
    """Every answer is JSON, also the ones that no route gives."""

    def __init__(self, url_map: Map, origins: Origins) -> None:
        """The endpoints of `url_map` answer `handle_request(request)`."""
        url_map.merge_slashes = False
        # Bound once: no route depends on the host, and working that out took as long as finding the route.
        self._routes: Any = url_map.bind("")
        self._origins = origins

    def __call__(self, request: Request) -> Response:
        """The answer, but for the headers that every answer has. Waits for whatever the route waits for."""
        try:
            if request.method == "OPTIONS":
                return self._options(request)
            provider, path_values = self._routes.match(request.path, request.method)
            request.path_values = dict(path_values)
            response: Response = provider.handle_request(request)
        except (HTTPException, PlatformError, Refusal) as error:
            return failure(error, request.request_id)
        except Exception as error:
            _log.exception("%s %s failed: request %s", request.method, request.shown_path, request.request_id)
            return failure(error, request.request_id)
        return response

    def headers(self, request: Request, response: Response) -> list[tuple[str, str]]:
        """The response's headers, and those that every answer has."""
        headers = response.headers
        # What Werkzeug would work out again for each response: it is known once the answer is written.
        given = [(name, value) for name, value in headers if name != "Content-Length"]
        given.append(("X-Request-ID", request.request_id))
        given += EVERY_ANSWER
        private = request.bears_token or request.path.startswith(NEVER_STORED)
        if (private or response.status_code >= 400) and "Cache-Control" not in headers:
            given.append(("Cache-Control", "no-store"))
        given += self._origins.headers(request.origin_of_page)
        return given

    def _options(self, request: Request) -> Response:
        methods = METHODS if request.path == "/*" else ", ".join(self._methods(request))
        headers = {"Allow": methods}
        if request.origin_of_page:
            headers |= self._origins.preflight(methods)
        return Response(status=204, headers=headers)

    def _methods(self, request: Request) -> list[str]:
        """Those that the address takes. Raises NotFound where there is nothing."""
        allowed = set(self._routes.allowed_methods(request.path))
        if not allowed:
            self._routes.match(request.path, "GET")
        return sorted(allowed | {"OPTIONS"})


def log_access(request: Request, status: int, began: float) -> None:
    """A line that says who asked for what; `began` is when, by the monotonic clock."""
    if _access.isEnabledFor(logging.INFO):
        words = (
            request.method,
            request.shown_path,
            status,
            (time.monotonic() - began) * 1000,
            request.request_id,
        )
        # What info() makes of it, but for asking the stack who calls: a third of what a line took.
        record = logging.LogRecord(
            _access.name, logging.INFO, __file__, 0, "%s %s %s %.0f ms %s", words, None
        )
        _access.handle(record)
