"""Web pages of other origins (CORS): which may read what a front door answers.

https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from collections.abc import Iterable, Sequence

_EXPOSED = "ETag, Link, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID"
_TAKEN = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-ID"
_PREFLIGHT_SECONDS = "600"

Headers = Sequence[tuple[str, str]]


class Origins:
    """`allowed`: origins as browsers write them (`https://example.com`), `*` for any; empty for none."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(allowed)
        self._any = "*" in self._allowed

    def headers(self, origin: str | None) -> Headers:
        """What an answer to a page of `origin` carries."""
        if not self._allowed:
            return ()
        exposed = ("Access-Control-Expose-Headers", _EXPOSED)
        if self._any:
            return (("Access-Control-Allow-Origin", "*"), exposed, ("Vary", "Origin"))
        if origin in self._allowed:
            return (("Access-Control-Allow-Origin", str(origin)), exposed, ("Vary", "Origin"))
        return (("Vary", "Origin"),)

    def preflight(self, methods: str) -> Headers:
        """What the answer to a preflight carries beside that; `methods` are those of the address."""
        return (
            ("Access-Control-Allow-Methods", methods),
            ("Access-Control-Allow-Headers", _TAKEN),
            ("Access-Control-Max-Age", _PREFLIGHT_SECONDS),
        )
