"""Throttles: how often somebody may do something, counted by the package `limits`.

Counts lie in Redis, where all gateways share them, and in this process while Redis is away or where there is
none. The window slides: what was counted in the one before weighs less and less.
https://limits.readthedocs.io/en/stable/strategies.html#sliding-window-counter
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import cachetools
import limits
import redis
from limits.storage import RedisStorage

from broker.redis_client import AWAY_SECONDS, redis_pool

_log = logging.getLogger(__name__)

PREFIX = "throttle"
# What is counted in this process: those counted longest ago make room. A count takes some 400 bytes.
MOST_COUNTS = 20_000


@dataclass(frozen=True)
class Quota:
    """`most` times within `seconds`."""

    name: str
    most: int
    seconds: int

    @classmethod
    def of(cls, name: str, text: str) -> Self:
        """From `"10 per 15 minutes"` or `"10/15 minutes"`. Raises ValueError."""
        rate = limits.parse(text)
        return cls(name, rate.amount, rate.get_expiry())

    @property
    def policy(self) -> str:
        """As the field RateLimit-Policy tells it.

        https://www.ietf.org/archive/id/draft-ietf-httpapi-ratelimit-headers-10.html
        """
        return f'"{self.name}";q={self.most};w={self.seconds}'


@dataclass(frozen=True)
class Standing:
    """Where somebody is with a quota: `remaining` times, and `seconds` until there are more again."""

    quota: Quota
    is_within: bool
    remaining: int
    seconds: float

    @property
    def retry_after(self) -> int:
        return max(math.ceil(self.seconds), 1)

    @property
    def field(self) -> str:
        """As the field RateLimit tells it."""
        return f'"{self.quota.name}";r={self.remaining};t={self.retry_after}'


class Throttle:
    """Counts by quota and key. Keys are told apart by their quota's name, and by the `era` of the moment."""

    def __init__(
        self,
        redis_url: str = "",
        timer: Callable[[], float] = time.monotonic,
        era: Callable[[], str] = str,
    ) -> None:
        self._timer = timer
        self._era = era
        self._here = Counts(timer)
        self._shared: Any = None
        self._away_until = -math.inf
        if redis_url:
            self._shared = RedisStorage(redis_url, redis_pool(redis_url), key_prefix=PREFIX)

    def take(self, quota: Quota, key: str, *, here: bool = False) -> Standing:
        """Count one more, if that is within the quota. `here`: by what this process counts alone."""
        key = self._era() + key

        def count(counts: Any) -> Standing:
            taken = counts.acquire_sliding_window_entry(_name(quota, key), quota.most, quota.seconds)
            return _standing(counts, quota, key, is_within=taken)

        return count(self._here) if here else self._counted(count)

    def look(self, quota: Quota, key: str) -> Standing:
        """Where `key` is, with nothing counted."""
        key = self._era() + key
        return self._counted(lambda counts: _standing(counts, quota, key))

    def clear(self, quota: Quota, key: str) -> None:
        """Begin anew."""
        key = self._era() + key
        self._counted(lambda counts: counts.clear_sliding_window(_name(quota, key), quota.seconds))

    def _counted(self, work: Callable[[Any], Any]) -> Any:
        if self._shared is not None and self._timer() >= self._away_until:
            try:
                return work(self._shared)
            except redis.RedisError as error:
                self._away_until = self._timer() + AWAY_SECONDS
                _log.warning("throttles are counted here: Redis is away (%s)", type(error).__name__)
        return work(self._here)


class Counts:
    """What `limits` keeps in a storage, in a bounded number of entries; its own in memory has no bound."""

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        # By key: when the window began, what was counted in the one before and in this one.
        self._windows: cachetools.LRUCache[str, list[float]] = cachetools.LRUCache(MOST_COUNTS)

    def __len__(self) -> int:
        return len(self._windows)

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        now = self._timer()
        window = self._window(key, expiry, now)
        if math.floor(window[1] * (1 - (now - window[0]) / expiry)) + window[2] + amount > limit:
            return False
        window[2] += amount
        self._windows[key] = window
        return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """The counts of the window before and of this one, each with the seconds that it still matters."""
        now = self._timer()
        began, before, current = self._window(key, expiry, now)
        left = began + expiry - now
        return int(before), left if before else 0.0, int(current), left + expiry if current else 0.0

    def clear_sliding_window(self, key: str, expiry: int) -> None:  # noqa: ARG002 - limits' signature
        self._windows.pop(key, None)

    def _window(self, key: str, expiry: int, now: float) -> list[float]:
        window = self._windows.get(key)
        if window is None or now >= window[0] + 2 * expiry:
            return [now, 0, 0]
        if now >= window[0] + expiry:
            return [window[0] + expiry, window[2], 0]
        return window


def _name(quota: Quota, key: str) -> str:
    return f"{quota.name}:{quota.seconds}:{key}"


def _standing(counts: Any, quota: Quota, key: str, *, is_within: bool | None = None) -> Standing:
    before, before_left, current, current_left = counts.get_sliding_window(_name(quota, key), quota.seconds)
    used = math.floor(before * before_left / quota.seconds) + current
    # Until one of the window before is forgotten or, where there is none, one of this window in the next.
    if before:
        seconds = before_left % (quota.seconds / before) or quota.seconds / before
        if current >= quota.most:
            seconds = before_left + quota.seconds / current
    elif current:
        left = current_left - quota.seconds if current_left >= quota.seconds else current_left
        seconds = left + quota.seconds / current
    else:
        seconds = 0.0
    within = used < quota.most if is_within is None else is_within
    return Standing(quota, within, max(quota.most - used, 0), seconds)
