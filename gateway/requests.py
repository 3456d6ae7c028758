"""Requests, as the routes see them."""

import os
import re
from functools import cached_property
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.types import WSGIEnvironment

import orjson
import werkzeug.wrappers
from werkzeug.exceptions import UnsupportedMediaType

from broker.errors import Invalid, Unauthenticated
from broker.throttle import Standing
from broker.tokens import Identity
from broker.validation import check_id, check_key

# No field of ours holds more than a list; orjson reads 1,023 levels, which other JSON libraries cannot write.
MOST_LEVELS = 32
SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,100}")


class Request(werkzeug.wrappers.Request):
    """Werkzeug's request, and what ours hold: a JSON object, a bearer token, an id."""

    path_values: dict[str, Any]
    raw_body = b""
    identity: Identity | None = None  # whom its token speaks for, once somebody has looked

    @cached_property
    def standings(self) -> list[Standing]:
        """Where its client is with what the request counts for."""
        return []

    @property
    def client_address(self) -> str:
        """The IP address of who asks."""
        return str(self.environ.get("REMOTE_ADDR", ""))

    @classmethod
    def of(cls, environ: WSGIEnvironment) -> "Request":
        return cls(environ, populate_request=False)

    @cached_property
    def request_id(self) -> str:
        """The client's X-Request-ID where it sent a sane one, otherwise a fresh one."""
        sent = self.headers.get("X-Request-ID", "")
        return sent if SANE_REQUEST_ID.fullmatch(sent) else os.urandom(16).hex()

    @cached_property
    def idempotency_key(self) -> str:
        """The client's Idempotency-Key or, since a message may be delivered twice, a fresh one.

        Raises Invalid for what can be no key.
        """
        sent = self.headers.get("Idempotency-Key")
        return os.urandom(16).hex() if sent is None else check_key(sent, "Idempotency-Key")

    def json_body(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises UnsupportedMediaType (415) for another content type, and Invalid for what is no JSON, or no
        object, or holds what no JSON may: NaN, broken UTF-8, lone surrogates.
        """
        if self.mimetype != "application/json":
            raise UnsupportedMediaType
        try:
            body = orjson.loads(self.raw_body)
        except orjson.JSONDecodeError as error:
            raise Invalid(
                "The body is not valid JSON", {"body": f"is not valid JSON: {error.msg}"}
            ) from error
        if not isinstance(body, dict):
            raise Invalid("The body must be a JSON object", {"body": "must be a JSON object"})
        if _is_deeper(body, MOST_LEVELS):
            raise Invalid("The body is nested too deeply", {"body": "is nested too deeply"})
        return body

    def parameters(self) -> dict[str, str]:
        """The query's parameters. Raises Invalid for one that is given twice, or not in UTF-8."""
        given: dict[str, str] = {}
        for pair in self.environ.get("QUERY_STRING", "").encode("latin-1").split(b"&"):
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
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated(
                "Sign in to do this: an Authorization header with a Bearer token is missing"
            )
        return token.strip()

    @property
    def base(self) -> str:
        """Where the API lies, as the client addressed it: scheme and host, without a slash at the end."""
        return self.host_url.rstrip("/")


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    return any(
        _is_deeper(each, levels - 1) for each in (value.values() if isinstance(value, dict) else value)
    )


def row_id(text: str) -> int:
    """An id from a path. Raises Invalid for what is no whole number from 1."""
    digits = text.isascii() and text.isdigit() and len(text) <= 19
    return check_id(int(text) if digits else None)
