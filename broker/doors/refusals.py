"""What the front doors answer by themselves, in the one form that every error has."""

import os
import re
from collections.abc import Mapping

import orjson

# Werkzeug's and aiohttp's own descriptions speak of browsers and servers.
SENTENCES = {
    400: "The request is not valid",
    404: "There is nothing at this address",
    405: "This address does not take this method",
    408: "The request took too long to arrive",
    413: "The body is too large",
    414: "The address is too long",
    415: "The body must be JSON, with Content-Type: application/json",
    417: "Expect can be 100-continue and nothing else",
    426: "This address speaks WebSocket alone",
    429: "You have too many requests at work here; try again soon",
    431: "The headers are too large",
    500: "Something went wrong on our side",
    501: "Transfer-Encoding can be chunked and nothing else",
    503: "There are too many connections; try again soon",
    505: "The protocol must be HTTP/1.1",
}
ENCODED = "The body must come as it is: no Content-Encoding, such as gzip, is taken"
RETRY_SECONDS = "1"
SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,100}")


class Refusal(Exception):
    """What a front door does not take, by the status and the sentence that say so."""

    def __init__(self, status: int, sentence: str = "") -> None:
        self.status = status
        self.sentence = sentence or SENTENCES.get(status, SENTENCES[400])
        super().__init__(status, self.sentence)


def request_id(sent: str) -> str:
    """The client's X-Request-ID where it sent a sane one, otherwise a fresh one."""
    return sent if SANE_REQUEST_ID.fullmatch(sent) else os.urandom(16).hex()


def error_body(sentence: str, identifier: str, errors: Mapping[str, str] | None = None) -> bytes:
    """The JSON of every error: `{"message", "errors"?, "request_id"}`."""
    named = {"errors": errors} if errors else {}
    return orjson.dumps({"message": sentence, **named, "request_id": identifier})
