"""The application: finds the route, and turns what goes wrong on the way into JSON."""

import logging
from collections.abc import Callable
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map
from werkzeug.wrappers import Response

from broker.doors.answers import EVERY_ANSWER
from broker.doors.origins import Origins
from broker.doors.refusals import Refusal
from broker.errors import PlatformError, Unavailable
from broker.tally import Tally
from gateway.requests import Request
from gateway.responses import failure, tell_standings

_log = logging.getLogger(__name__)

METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
# Of one account, or of one moment.
HEALTH = "/health/"
NEVER_STORED = ("/api/auth/", HEALTH)


class JsonApplication:
    """Every answer is JSON, also the ones that no route gives."""

    def __init__(self, url_map: Map, origins: Origins, count_unrouted: Callable[[Request], None]) -> None:
        """The endpoints of `url_map` answer `handle_request(request)`; `count_unrouted` counts what comes to
        none of them, and raises where that is too much.
        """
        url_map.merge_slashes = False
        # Bound once: no route depends on the host, and working that out took as long as finding the route.
        self._routes: Any = url_map.bind("")
        self._origins = origins
        self._count_unrouted = count_unrouted
        self._unavailable = Tally(_log, "answered: %s", again_seconds=60)

    def __call__(self, request: Request) -> Response:
        """The answer, but for the headers that every answer has. Waits for whatever the route waits for."""
        response = self._answered(request)
        tell_standings(response, request.standings)
        return response

    def _answered(self, request: Request) -> Response:
        try:
            provider, path_values = self._route(request)
            if provider is None:
                return self._options(request)
            request.path_values = path_values
            response: Response = provider.handle_request(request)
        except (HTTPException, PlatformError, Refusal) as error:
            self.tell_of(request, error)
            return failure(error, request.request_id)
        except Exception as error:
            _log.exception("%s %s failed: request %s", request.method, request.shown_path, request.request_id)
            return failure(error, request.request_id)
        return response

    def tell_of(self, request: Request, error: BaseException) -> None:
        """Say in the log, within bounds, what is answered 503 or 504, and to what for one."""
        if isinstance(error, Unavailable) and not request.path.startswith(HEALTH):
            self._unavailable.note(error.message, f"{request.method} {request.shown_path}")

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

    def _route(self, request: Request) -> tuple[Any, dict[str, Any]]:
        """Who answers, and the values in the path; nobody for OPTIONS."""
        if request.method == "OPTIONS":
            self._count_unrouted(request)
            return None, {}
        try:
            provider, path_values = self._routes.match(request.path, request.method)
        except HTTPException:
            self._count_unrouted(request)
            raise
        return provider, dict(path_values)

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
