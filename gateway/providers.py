"""What Nameko injects into the gateway."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from eventlet.semaphore import Semaphore
from nameko.extensions import DependencyProvider

from broker import config
from broker.link import Link
from broker.rpc import RpcClient
from broker.tokens import Identity, ReadingAllowance, TokenVerifier

_log = logging.getLogger(__name__)

READ_AGAIN_SECONDS = 0.5  # after a reading that failed
# A reading that somebody waits for, a request or a gateway that starts: it must leave them time, and one that
# was asked for before auth was there is never answered.
SHORT_READING_SECONDS = 2.0


class Identities:
    """Who a bearer token speaks for, by keys and a deny-list that are kept up to date in the background."""

    def __init__(self, read: Callable[[], Mapping[str, Any]], refresh_seconds: float) -> None:
        """`read` answers auth's `verification` within SHORT_READING_SECONDS, or raises PlatformError."""
        self.verifier = TokenVerifier()
        self._read = read
        self._refresh_seconds = refresh_seconds
        self._allowance = ReadingAllowance()
        self._due = Semaphore(0)

    def identify(self, token: str) -> Identity:
        """Raises Unauthenticated, and ServiceUnavailable while nothing has been loaded yet."""
        if self.verifier.names_unknown_key(token) and self._allowance.take():
            self.refresh()
        return self.verifier.verify(token)

    def refresh(self) -> bool:
        """Read keys, deny-list and staff from auth; answers whether that went well."""
        try:
            self.verifier.load(self._read())
        except Exception as error:  # whatever it is, what was read before still stands
            _log.warning("keys and deny-list could not be read from auth: %s", error)
            return False
        return True

    def refresh_soon(self) -> None:
        """In the background: what auth announced while nobody listened is not known here."""
        self._due.release()

    def keep_fresh(self) -> None:
        """Read them whenever the link opens, and again on a timer, for ever."""
        pause = READ_AGAIN_SECONDS
        while True:
            self._due.acquire(timeout=pause)
            pause = self._refresh_seconds if self.refresh() else READ_AGAIN_SECONDS


class IdentityProvider(DependencyProvider):
    """Injects Identities, which all requests share."""

    link = Link()
    client = RpcClient()

    def setup(self) -> None:
        settings = config.settings(self.container.config)
        seconds = min(SHORT_READING_SECONDS, settings.RPC_TIMEOUT / 2)
        self.identities = Identities(
            lambda: self.client.call("auth.verification", [], {}, seconds), settings.REVOCATION_REFRESH
        )
        self.link.watch(opened=self.identities.refresh_soon)

    def start(self) -> None:
        self.thread = self.container.spawn_managed_thread(self.identities.keep_fresh)

    def stop(self) -> None:
        self.thread.kill()

    def why_not_ready(self) -> str | None:
        if not self.link.is_open:
            return "The broker is not connected"
        if self.link.trouble:
            return self.link.trouble
        return None if self.identities.verifier.loaded else "Sign-in cannot be checked yet"

    def get_dependency(self, worker_ctx: Any) -> Identities:  # noqa: ARG002
        return self.identities
