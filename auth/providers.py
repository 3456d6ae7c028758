"""What Nameko injects into auth."""

import os
from collections.abc import Callable
from typing import Any

import eventlet
from eventlet import tpool
from eventlet.semaphore import Semaphore
from nameko.extensions import DependencyProvider

from auth import domain
from broker import config
from broker.errors import ServiceUnavailable

HASH_WAIT_SECONDS = 3


class ScryptHasher:
    """Scrypt off the hub: in real threads, as many at once as there are cores (`cost` KiB of memory each)."""

    def __init__(self, width: int, cost: int) -> None:
        self._slots = Semaphore(width)
        self._cost = cost

    def hash(self, password: str) -> str:
        """Raises ServiceUnavailable when no core comes free in time."""
        return str(self._run(domain.hash_password, password, self._cost))

    def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is right; None stands for nobody's hash and costs as much.

        Raises ServiceUnavailable when no core comes free in time.
        """
        if password_hash is None:
            unknown = self._run(domain.unknown_user_hash, self._cost)
            self._run(domain.password_matches, unknown, password)
            return False
        return bool(self._run(domain.password_matches, password_hash, password))

    def _run(self, function: Callable[..., Any], *args: Any) -> Any:
        with eventlet.Timeout(HASH_WAIT_SECONDS, _NoSlot):
            try:
                self._slots.acquire()
            except _NoSlot:
                raise ServiceUnavailable("Too many people are signing in; try again soon") from None
        try:
            return tpool.execute(function, *args)
        finally:
            self._slots.release()


class _NoSlot(Exception):
    """All cores are hashing."""


class Passwords(DependencyProvider):
    """Injects a ScryptHasher that all workers of the process share."""

    def setup(self) -> None:
        cost = config.settings(self.container.config).PASSWORD_COST
        self.hasher = ScryptHasher(os.cpu_count() or 1, cost)
        # Made at start, so that the first unknown e-mail address costs no more than the next.
        self.hasher.matches(None, "")

    def get_dependency(self, worker_ctx: Any) -> ScryptHasher:  # noqa: ARG002
        return self.hasher


class Tokens(DependencyProvider):
    """Injects the domain.TokenSettings."""

    def setup(self) -> None:
        settings = config.settings(self.container.config)
        self.settings = domain.TokenSettings(settings.TOKEN_LIFETIME, settings.SIGNING_KEY_SECRET)

    def get_dependency(self, worker_ctx: Any) -> domain.TokenSettings:  # noqa: ARG002
        return self.settings
