"""What Nameko injects into the gateway."""

import logging
import time
from typing import Any

import eventlet
from nameko.extensions import DependencyProvider

from broker import config
from broker.errors import DeadlineExceeded
from broker.rpc_client import call, open_connection
from broker.tokens import Identity, TokenVerifier

_log = logging.getLogger(__name__)

FIRST_LOAD_RETRY_SECONDS = 0.5
# An unknown key may be one that auth has just begun to sign with; a stream of forged ones must not be a
# stream of calls.
UNKNOWN_KEY_SECONDS = 1.0


class Identities:
    """Who a bearer token speaks for, by keys and a deny-list that are kept up to date in the background."""

    def __init__(self, settings: config.Settings) -> None:
        self.verifier = TokenVerifier()
        self._settings = settings
        self._loaded_at = 0.0

    def identify(self, token: str) -> Identity:
        """Raises Unauthenticated, and ServiceUnavailable while nothing has been loaded yet."""
        if not self.verifier.knows_key(token) and time.monotonic() - self._loaded_at > UNKNOWN_KEY_SECONDS:
            self.refresh()
        return self.verifier.verify(token)

    def refresh(self) -> bool:
        """Read keys, deny-list and staff from auth; answers whether that went well."""
        self._loaded_at = time.monotonic()
        try:
            # The deadline of the call bounds the wait for an answer; this one bounds all of it.
            with (
                eventlet.Timeout(self._settings.RPC_TIMEOUT + 1, DeadlineExceeded),
                open_connection(self._settings.AMQP_URI, self._settings.TRANSPORT_OPTIONS) as connection,
            ):
                self.verifier.load(call(connection, "auth.verification", seconds=self._settings.RPC_TIMEOUT))
        except Exception as error:  # whatever it is, what was read before still stands
            _log.warning("keys and deny-list could not be read from auth: %s", error)
            return False
        return True

    def keep_fresh(self) -> None:
        """Read them at once, and again on a timer, for ever."""
        while not self.refresh():
            eventlet.sleep(FIRST_LOAD_RETRY_SECONDS)
        while True:
            eventlet.sleep(self._settings.REVOCATION_REFRESH)
            self.refresh()


class IdentityProvider(DependencyProvider):
    """Injects Identities, which all workers of the process share."""

    def setup(self) -> None:
        self.identities = Identities(config.settings(self.container.config))

    def start(self) -> None:
        self.thread = self.container.spawn_managed_thread(self.identities.keep_fresh)

    def stop(self) -> None:
        self.thread.kill()

    def get_dependency(self, worker_ctx: Any) -> Identities:  # noqa: ARG002
        return self.identities
