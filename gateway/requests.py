"""Requests, as the routes see them."""

import math
import os
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import orjson
from werkzeug.datastructures import Headers
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.sansio.request import Request as RequestWithoutInput

from broker.doors.framing import path_and_query
from broker.doors.refusals import ENCODED, Refusal, request_id
from broker.errors import Invalid, Unauthenticated
from broker.throttle import Standing
from broker.tokens import Identity
from broker.validation import check_id, check_key

# No field of ours holds more than a list; orjson reads 1,023 levels, which other JSON libraries cannot write.
MOST_LEVELS = 32
MOST_KEYS = 64
MOST_PARAMETERS = 64
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BETWEEN_BRACKETS = re.compile(rb"[^\[\]{}]+")
_SQUARE = bytes.maketrans(b"{}", b"[]")


class Request(RequestWithoutInput):
    """Werkzeug's request, and what ours hold: a JSON object, a bearer token, an id.

    Its body has been read already, and is `raw_body`. `client_address` is who asks, past the proxies that are
    ours.
    """

    path_values: dict[str, Any]
    raw_body = b""
    answer_by = math.inf  # when nobody waits for the answer any longer: time.monotonic()
    identity: Identity | None = None  # whom its token speaks for, once somebody has looked

    @cached_property
    def standings(self) -> list[Standing]:
        """Where its client is with what the request counts for."""
        return []

    def __init__(
        self, method: str, target: str, sent: Mapping[str, str], client_address: str = "127.0.0.1"
    ) -> None:
        """`target` in the origin form or in the absolute one; `sent` are the headers, found by their names
        however these are spelt.
        """
        path, query = path_and_query(target)
        if "%" in path:
            path = unquote_to_bytes(path).decode("utf-8", "replace")
        self.method = method
        self.scheme, self.server, self.root_path = "http", None, ""
        self.path = "/" + path.lstrip("/")
        self.query_string = query.encode()
        self.remote_addr = self.client_address = client_address
        self._sent = sent

    @cached_property
    def headers(self) -> Headers:  # type: ignore[override]
        """Werkzeug's; made when somebody asks."""
        return Headers(list(self._sent.items()))

    @cached_property
    def request_id(self) -> str:
        """The client's X-Request-ID where it sent a sane one, otherwise a fresh one."""
        return request_id(self._sent.get("X-Request-ID", ""))

    @property
    def shown_path(self) -> str:
        """The path as it may stand in a log, without the query, which may hold what people search for."""
        return quote(self.path)

    @property
    def origin_of_page(self) -> str | None:
        """Of the web page that asks, where it is a page of another origin."""
        return self._sent.get("Origin")

    @property
    def bears_token(self) -> bool:
        return "Authorization" in self._sent

    @cached_property
    def idempotency_key(self) -> str:
        """The client's Idempotency-Key or, since a message may be delivered twice, a fresh one.

        Raises Invalid for what can be no key.
        """
        sent = self._sent.get("Idempotency-Key")
        return os.urandom(16).hex() if sent is None else check_key(sent, "Idempotency-Key")

    def json_body(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises UnsupportedMediaType (415) for another content type, Refusal (415) for one that is compressed,
        and Invalid for what is no JSON, or no
        object, or holds what no JSON may: NaN, broken UTF-8, lone surrogates.
        """
        if self._sent.get("Content-Encoding", "identity").lower() != "identity":
            raise Refusal(415, ENCODED)
        if self.mimetype != "application/json":
            raise UnsupportedMediaType
        _check_depth(self.raw_body)
        try:
            body = orjson.loads(self.raw_body)
        except orjson.JSONDecodeError as error:
            raise Invalid(
                "The body is not valid JSON", {"body": f"is not valid JSON: {error.msg}"}
            ) from error
        if not isinstance(body, dict):
            raise Invalid("The body must be a JSON object", {"body": "must be a JSON object"})
        if len(body) > MOST_KEYS:
            raise Invalid(errors={"body": f"must have at most {MOST_KEYS} fields"})
        return body

    def parameters(self) -> dict[str, str]:
        """The query's parameters. Raises Invalid for one that is given twice, or not in UTF-8."""
        if self.query_string.count(b"&") >= MOST_PARAMETERS:
            raise Invalid(f"There are too many query parameters: {MOST_PARAMETERS} at most")
        given: dict[str, str] = {}
        for pair in self.query_string.split(b"&"):
            if not pair:
                continue
            raw_name, _, raw_value = (
                unquote_to_bytes(part) for part in pair.replace(b"+", b" ").partition(b"=")
            )
            name = raw_name.decode("utf-8", "replace")
            if name in given:
                raise Invalid(errors={name: "is given more than once"})
            try:
                given[name] = raw_value.decode("utf-8")
            except UnicodeDecodeError:
                raise Invalid(errors={name: "is not valid UTF-8"}) from None
        return given

    @property
    def bearer_token(self) -> str:
        """The token of the Authorization header. Raises Unauthenticated where there is none."""
        scheme, _, token = self._sent.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated(
                "Sign in to do this: an Authorization header with a Bearer token is missing"
            )
        return token.strip()


def _check_depth(raw: bytes) -> None:
    """Raises Invalid for JSON that is nested too deeply.

    Most has fewer brackets than it may have levels. In the rest, all but the brackets is taken out, and then
    pairs that hold nothing, level by level: in C, and no more often than there may be levels.
    """
    if raw.count(b"[") + raw.count(b"{") <= MOST_LEVELS:
        return
    brackets = _BETWEEN_BRACKETS.sub(b"", _STRINGS.sub(b"", raw)).translate(_SQUARE)
    for _ in range(MOST_LEVELS):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return
    raise Invalid("The body is nested too deeply", {"body": "is nested too deeply"})


def row_id(text: str) -> int:
    """An id from a path. Raises Invalid for what is no whole number from 1."""
    digits = text.isascii() and text.isdigit() and len(text) <= 19
    return check_id(int(text) if digits else None)
