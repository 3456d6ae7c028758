"""What Nameko injects into movies."""

import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import cachetools
import eventlet
import orjson
import redis
from nameko.extensions import DependencyProvider

from broker import config
from broker.history import History
from broker.redis_client import AWAY_SECONDS, redis_client
from movies.storage.paging import PAGE_BYTES

_log = logging.getLogger(__name__)

GENERATION = "movies:generation"
PAGES = "movies:page:"
# What a page of movies.storage.paging can come to as JSON, escapes and all; none larger is kept.
MOST_PAGE_BYTES = 2 * PAGE_BYTES
ENTRY_BYTES = 500  # what a page in this process takes beside its text
NEW_SHARE = 8  # one part in so many is for pages that were asked for once
SWEEP_SECONDS = 5.0
NOT_SHARED = (
    "setting REDIS_URL is empty: pages are cached in this process alone; beside a second movies service it "
    "would show what it has for up to %d s after a write to that one"
)


class PageCache(Protocol):
    """Pages of results, until a write or their lifetime ends them.

    A page's key holds the history and the generation of its time, so that one write makes every page before
    it unfindable, also those that are being computed from what was there before the write.
    """

    def key(self, kind: str, asked: dict[str, Any]) -> str | None:
        """Where the page of this question lies now; None while the cache is away."""

    def get(self, key: str | None) -> Any:
        """The page that was put under `key`; None where there is none."""

    def put(self, key: str | None, page: Any) -> None: ...

    def in_history(self, history: History | None) -> None:
        """Pages of another one are not shown; None is not known."""

    def invalidate(self) -> None:
        """Forget every page, after a write."""

    def clear(self) -> None:
        """Forget every page and give its memory back at once."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A page as JSON, until then."""

    body: bytes
    until: float


class ProcessCache:
    """A PageCache in this process: `most_bytes` at most, those used longest ago go first.

    Pages that were asked for once have a small part of it, so that somebody who asks for ever new ones takes
    the place of nobody's but their own; asked for again, a page moves to the large part (a segmented LRU:
    Karedla, Love and Wherry, "Caching strategies to improve disk system performance", IEEE Computer 1994).
    """

    def __init__(self, lifetime: float, most_bytes: int, timer: Callable[[], float] = time.monotonic) -> None:
        self._lifetime = lifetime
        self._timer = timer
        new = most_bytes // NEW_SHARE
        self._new, self._asked_again = self._segment(new), self._segment(most_bytes - new)
        self._generation = secrets.token_hex(8)
        self._history = ""

    def _segment(self, most_bytes: int) -> "cachetools.TLRUCache[str, Kept]":
        return cachetools.TLRUCache(
            most_bytes,
            ttu=lambda _key, kept, _now: kept.until,
            timer=self._timer,
            getsizeof=lambda kept: len(kept.body) + ENTRY_BYTES,
        )

    @property
    def bytes(self) -> int:
        """What its pages take."""
        return int(self._new.currsize + self._asked_again.currsize)

    def in_history(self, history: History | None) -> None:
        if history is not None and history.id != self._history:
            self._history = history.id
            self.invalidate()

    def key(self, kind: str, asked: dict[str, Any]) -> str | None:
        return f"{self._generation}:{_question(kind, asked)}"

    def get(self, key: str | None) -> Any:
        if key is None:
            return None
        kept = self._asked_again.get(key)
        if kept is None and (kept := self._new.pop(key, None)) is not None:
            self._asked_again[key] = kept
        return None if kept is None else orjson.loads(kept.body)

    def put(self, key: str | None, page: Any) -> None:
        body = orjson.dumps(page)
        if key is not None and key.startswith(self._generation) and len(body) <= MOST_PAGE_BYTES:
            with suppress(ValueError):  # larger than all that there may be
                # A copy: what orjson makes has room for up to fourteen times as much behind it.
                self._new[key] = Kept(bytes(memoryview(body)), self._timer() + self._lifetime)

    def invalidate(self) -> None:
        self._generation = secrets.token_hex(8)
        self._new.clear()
        self._asked_again.clear()

    clear = invalidate

    def forget_expired(self) -> None:
        """Give back the memory of pages that nobody has asked for since they ended."""
        self._new.expire()
        self._asked_again.expire()


class RedisCache:
    """A PageCache in Redis. One that is away is an empty cache: it costs speed and nothing else."""

    def __init__(self, client: "redis.Redis", lifetime: int) -> None:
        self._client = client
        self._lifetime = lifetime
        self._away_until = 0.0
        self._history: str | None = None

    def in_history(self, history: History | None) -> None:
        if history is not None:
            self._history = history.id

    def key(self, kind: str, asked: dict[str, Any]) -> str | None:
        if self._history is None:
            return None
        if time.monotonic() < self._away_until:
            return None
        try:
            generation = self._client.get(GENERATION)
            if generation is None:
                self._client.set(GENERATION, secrets.token_hex(8), nx=True)
                generation = self._client.get(GENERATION)
        except redis.RedisError as error:
            self._away(error)
            return None
        return f"{PAGES}{self._history}:{generation!r}:{_question(kind, asked)}"

    def get(self, key: str | None) -> Any:
        if key is None:
            return None
        try:
            page = self._client.get(key)
        except redis.RedisError as error:
            self._away(error)
            return None
        return None if page is None else orjson.loads(page)

    def put(self, key: str | None, page: Any) -> None:
        body = orjson.dumps(page)
        if key is None or len(body) > MOST_PAGE_BYTES:
            return
        try:
            self._client.set(key, body, ex=self._lifetime)
        except redis.RedisError as error:
            self._away(error)

    def invalidate(self) -> None:
        """Where Redis is away the pages end with their lifetime."""
        try:
            self._client.set(GENERATION, secrets.token_hex(8))
        except redis.RedisError as error:
            self._away(error)

    def clear(self) -> None:
        self.invalidate()
        try:
            for key in self._client.scan_iter(match=f"{PAGES}*", count=1000):
                self._client.unlink(key)
        except redis.RedisError as error:
            self._away(error)

    def _away(self, error: redis.RedisError) -> None:
        self._away_until = time.monotonic() + AWAY_SECONDS
        _log.warning("the cache is away: %s", type(error).__name__)


def _question(kind: str, asked: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps([kind, asked], option=orjson.OPT_SORT_KEYS)).hexdigest()


class Cache(DependencyProvider):
    """Injects a PageCache: in Redis, or in this process where REDIS_URL is empty."""

    cache: PageCache

    def setup(self) -> None:
        settings = config.settings(self.container.config)
        if settings.REDIS_URL:
            self.cache = RedisCache(redis_client(settings.REDIS_URL), settings.CACHE_LIFETIME)
        else:
            self.cache = ProcessCache(settings.CACHE_LIFETIME, settings.CACHE_BYTES)
            if not self.container.config.get(config.ONE_PROCESS):
                _log.warning(NOT_SHARED, settings.CACHE_LIFETIME)

    def start(self) -> None:
        if isinstance(self.cache, ProcessCache):
            self.container.spawn_managed_thread(partial(self._keep_small, self.cache))

    def get_dependency(self, worker_ctx: Any) -> PageCache:  # noqa: ARG002
        return self.cache

    @staticmethod
    def _keep_small(cache: ProcessCache) -> None:
        while True:
            eventlet.sleep(SWEEP_SECONDS)
            cache.forget_expired()
