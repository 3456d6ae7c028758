"""What Nameko injects into auth."""

import copy
import logging
import math
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from eventlet import tpool
from eventlet.semaphore import Semaphore
from nameko.extensions import DependencyProvider

from auth import domain
from broker import config
from broker.calls import ANSWER_BY
from broker.errors import ServiceUnavailable
from broker.rpc import CALLER_CONTEXT
from broker.tally import Tally

_log = logging.getLogger(__name__)

IN_THE_CLEAR = (
    "setting SIGNING_KEY_SECRET is empty: the signing keys lie in the database in the clear; set a long "
    "random text, the same at every start"
)
REFUSES = (
    "it refuses everybody whom this auth signs in (401); start gateways and notifiers of this release first, "
    "auth last"
)
TOO_MANY = "Too many people are signing in; try again soon"
HASH_WAIT_SECONDS = 2.0
WAITING_FOR_EACH_CORE = 4  # one more is refused at once
POLITENESS = 5  # how much further back than all else the threads that hash stand (see nice(1))


class ScryptHasher:
    """Scrypt off the hub: in real threads, `width` at once (`cost` KiB of memory each).

    The threads give way to whatever else wants a core, so that hashing alone becomes slower by a crowd that
    signs in.
    """

    def __init__(self, width: int, cost: int) -> None:
        self._slots = Semaphore(width)
        self._most_waiting = width * WAITING_FOR_EACH_CORE
        self._cost = cost
        self._answer_by = math.inf

    def until(self, answer_by: float) -> "ScryptHasher":
        """The same lane, for work that nobody waits for after `answer_by` (time.monotonic())."""
        bounded = copy.copy(self)
        bounded._answer_by = answer_by
        return bounded

    def hash(self, password: str) -> str:
        """Raises ServiceUnavailable when no core is free, or comes free in time."""
        return str(self._run(domain.hash_password, password, self._cost))

    def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is right; None stands for nobody's hash and costs as much.

        Raises ServiceUnavailable when no core is free, or comes free in time.
        """
        return bool(self._run(_matches, password_hash, password, self._cost))

    def _run(self, function: Callable[..., Any], *args: Any) -> Any:
        if -self._slots.balance >= self._most_waiting:
            raise ServiceUnavailable(TOO_MANY)
        if not self._slots.acquire(timeout=self._patience()):
            raise ServiceUnavailable(TOO_MANY)
        try:
            return tpool.execute(_politely, function, *args)
        finally:
            self._slots.release()

    def _patience(self) -> float:
        return max(min(HASH_WAIT_SECONDS, self._answer_by - time.monotonic()), 0.001)


def _matches(password_hash: str | None, password: str, cost: int) -> bool:
    if password_hash is None:
        domain.password_matches(domain.unknown_user_hash(cost), password)
        return False
    return domain.password_matches(password_hash, password)


def _politely(function: Callable[..., Any], *args: Any) -> Any:
    if sys.platform == "linux":  # where a priority is a thread's own
        os.setpriority(os.PRIO_PROCESS, 0, POLITENESS)
    return function(*args)


class Passwords(DependencyProvider):
    """Injects a ScryptHasher whose lane all workers of the process share."""

    def setup(self) -> None:
        cost = config.settings(self.container.config).PASSWORD_COST
        # A core is left to all else, and the memory of one hash to whatever else wants it.
        self.hasher = ScryptHasher(max((os.cpu_count() or 1) - 1, 1), cost)
        # Made at start, so that the first unknown e-mail address costs no more than the next.
        self.hasher.matches(None, "")

    def get_dependency(self, worker_ctx: Any) -> ScryptHasher:
        return self.hasher.until(worker_ctx.data.get(ANSWER_BY, math.inf))


class Readers(DependencyProvider):
    """Notices who reads keys of access tokens and cannot check what they sign. Injects nothing."""

    def setup(self) -> None:
        self._of_before = Tally(_log, "keys are read by a %s", again_seconds=60)

    def worker_setup(self, worker_ctx: Any) -> None:
        if worker_ctx.entrypoint.method_name == "verification" and not worker_ctx.data.get(CALLER_CONTEXT):
            self._of_before.note("gateway or notifier of the release before", REFUSES)


class Tokens(DependencyProvider):
    """Injects the domain.TokenSettings."""

    def setup(self) -> None:
        settings = config.settings(self.container.config)
        if not settings.SIGNING_KEY_SECRET and not self.container.config.get(config.ONE_PROCESS):
            _log.warning(IN_THE_CLEAR)
        self.settings = domain.TokenSettings(settings.TOKEN_LIFETIME, settings.SIGNING_KEY_SECRET)

    def get_dependency(self, worker_ctx: Any) -> domain.TokenSettings:  # noqa: ARG002
        return self.settings
