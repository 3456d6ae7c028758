"""What Nameko injects into the gateway."""

import logging
from typing import Any

import eventlet
from nameko.extensions import DependencyProvider

from broker import config
from broker.errors import DeadlineExceeded
from broker.rpc_client import call, open_connection
from broker.tokens import Identity, ReadingAllowance, TokenVerifier

_log = logging.getLogger(__name__)

FIRST_LOAD_RETRY_SECONDS = 0.5


class Identities:
    """Who a bearer token speaks for, by keys and a deny-list that are kept up to date in the background."""

    def __init__(self, settings: config.Settings) -> None:
        self.verifier = TokenVerifier()
        self._settings = settings
        self._allowance = ReadingAllowance()

    def identify(self, token: str) -> Identity:
        """Raises Unauthenticated, and ServiceUnavailable while nothing has been loaded yet."""
        if self.verifier.names_unknown_key(token) and self._allowance.take():
            self.refresh()
        return self.verifier.verify(token)

    def refresh(self) -> bool:
        """Read keys, deny-list and staff from auth; answers whether that went well."""
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
