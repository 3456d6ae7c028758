"""Responses: JSON, and every failure in one form."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from broker import errors
from broker.doors.refusals import RETRY_SECONDS, SENTENCES, Refusal, error_body
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
KEPT = ("Allow", "Location", "Retry-After")  # of the headers that Werkzeug's errors carry


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
        headers = _headers(status)
        if isinstance(error, errors.TooManyRequests):
            headers["Retry-After"] = str(error.retry_after)
        return _error(status, error.message, request_id, headers, error.errors)
    if isinstance(error, Refusal):
        return _error(error.status, error.sentence, request_id, _headers(error.status))
    if isinstance(error, HTTPException) and error.code is not None:
        headers = {name: value for name, value in error.get_headers() if name in KEPT}
        return _error(error.code, SENTENCES.get(error.code, error.name), request_id, headers)
    return _error(500, SENTENCES[500], request_id, {})


def _error(
    status: int,
    sentence: str,
    request_id: str,
    headers: Mapping[str, str],
    errors: Mapping[str, str] | None = None,
) -> Response:
    body = error_body(sentence, request_id, errors)
    return Response(body, status, headers, content_type="application/json")


def tell_standings(response: Response, standings: Sequence[Standing]) -> None:
    """Say where the client is with each quota that its request counted for."""
    if standings:
        # Added, which looks for none of the name that is there.
        response.headers.add("RateLimit-Policy", ", ".join([each.quota.policy for each in standings]))
        response.headers.add("RateLimit", ", ".join([each.field for each in standings]))


def _headers(status: int) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    if status in (429, 503, 504):
        return {"Retry-After": RETRY_SECONDS}
    return {}
