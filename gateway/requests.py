"""Requests, as the routes see them."""

import re
import secrets
from functools import cached_property
from typing import Any
from wsgiref.types import WSGIEnvironment

import orjson
import werkzeug.wrappers
from werkzeug.exceptions import UnsupportedMediaType

from broker.errors import Invalid, Unauthenticated

BODY_BYTES = 1024 * 1024
# Deeper nesting than any request of ours has; orjson's own limit is 1,024.
SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,100}")


class Request(werkzeug.wrappers.Request):
    """Werkzeug's request, and what ours hold: a JSON object, a bearer token, an id."""

    max_content_length = BODY_BYTES
    path_values: dict[str, Any]

    @classmethod
    def of(cls, environ: WSGIEnvironment) -> "Request":
        return cls(environ, populate_request=False)

    @cached_property
    def request_id(self) -> str:
        """The client's X-Request-ID where it sent a sane one, otherwise a fresh one."""
        sent = self.headers.get("X-Request-ID", "")
        return sent if SANE_REQUEST_ID.fullmatch(sent) else secrets.token_hex(16)

    def json_body(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises UnsupportedMediaType (415) for another content type, RequestEntityTooLarge (413), and Invalid
        for what is no JSON, or no object, or holds what no JSON may: NaN, broken UTF-8, lone surrogates.
        """
        if self.mimetype != "application/json":
            raise UnsupportedMediaType
        try:
            body = orjson.loads(self.get_data(cache=False))
        except orjson.JSONDecodeError as error:
            raise Invalid("The body is not valid JSON", {"body": f"is not valid JSON: {error.msg}"}) from error
        if not isinstance(body, dict):
            raise Invalid("The body must be a JSON object", {"body": "must be a JSON object"})
        return body

    def parameters(self) -> dict[str, str]:
        """The query's parameters. Raises Invalid for one that is given twice, or not in UTF-8."""
        given = {}
        for name, values in self.args.lists():
            if len(values) > 1:
                raise Invalid(errors={name: "is given more than once"})
            if "\ufffd" in values[0] or "\ufffd" in name:
                raise Invalid(errors={name: "is not valid UTF-8"})
            given[name] = values[0]
        return given

    @property
    def bearer_token(self) -> str:
        """The token of the Authorization header. Raises Unauthenticated where there is none."""
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("Sign in to do this: an Authorization header with a Bearer token is missing")
        return token.strip()

    @property
    def base(self) -> str:
        """Where the API lies, as the client addressed it: scheme and host, without a slash at the end."""
        return self.host_url.rstrip("/")


def row_id(text: str) -> int:
    """An id from a path. Raises Invalid for what is no whole number from 1."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and 1 <= int(text) < 2**63):
        raise Invalid(errors={"id": "must be a whole number from 1 to 9223372036854775807"})
    return int(text)
