"""Responses: JSON, and every failure in one form."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from broker import errors
from broker.throttle import Standing

# Looked up along the exception's classes, so that the nearest one decides.
STATUS: dict[type[BaseException], int] = {
    errors.Invalid: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.KeyReused: 422,
    errors.TooManyRequests: 429,
    errors.ServiceUnavailable: 503,
    errors.DeadlineExceeded: 504,
}

# Werkzeug's own descriptions speak of browsers and servers.
SENTENCES = {
    400: "The request is not valid",
    404: "There is nothing at this address",
    405: "This address does not take this method",
    408: "The request took too long to arrive",
    413: "The body is too large: 1 MiB at most",
    414: "The address is too long",
    415: "The body must be JSON, with Content-Type: application/json",
    431: "The headers are too large",
    501: "Transfer-Encoding can be chunked and nothing else",
    503: "There are too many connections; try again soon",
    505: "The protocol must be HTTP/1.1",
}
INTERNAL = "Something went wrong on our side"
RETRY_SECONDS = "1"


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`body` as JSON in UTF-8."""
    return Response(orjson.dumps(body), status, headers, content_type="application/json")


def message(text: str, status: int = 200, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """`{"message": text}` and what else there is to say."""
    return json_response({"message": text, **more}, status, headers)


def failure(error: BaseException, request_id: str) -> Response:
    """The answer to `error`: `{"message", "errors"?, "request_id"}`; 500 for what is not ours to tell."""
    if isinstance(error, errors.PlatformError):
        status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
        body: dict[str, Any] = {"message": error.message}
        if error.errors:
            body["errors"] = error.errors
        headers = _headers(status)
        if isinstance(error, errors.TooManyRequests):
            headers["Retry-After"] = str(error.retry_after)
        return json_response({**body, "request_id": request_id}, status, headers)
    if isinstance(error, HTTPException) and error.code is not None:
        kept = {"Allow", "Location", "Retry-After"}
        headers = {name: value for name, value in error.get_headers() if name in kept}
        sentence = SENTENCES.get(error.code, error.name)
        return json_response({"message": sentence, "request_id": request_id}, error.code, headers)
    return json_response({"message": INTERNAL, "request_id": request_id}, 500)


def tell_standings(response: Response, standings: Sequence[Standing]) -> None:
    """Say where the client is with each quota that its request counted for."""
    if standings:
        # Added, which looks for none of the name that is there.
        response.headers.add("RateLimit-Policy", ", ".join([each.quota.policy for each in standings]))
        response.headers.add("RateLimit", ", ".join([each.field for each in standings]))


def _headers(status: int) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    if status in (503, 504):
        return {"Retry-After": RETRY_SECONDS}
    return {}
