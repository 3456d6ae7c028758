"""What Nameko injects into movies."""

import hashlib
import logging
import secrets
import time
from typing import Any

import fakeredis
import orjson
import redis
from nameko.extensions import DependencyProvider
from redis.backoff import NoBackoff
from redis.retry import Retry

from broker import config

_log = logging.getLogger(__name__)

GENERATION = "movies:generation"
PAGES = "movies:page:"
SOCKET_SECONDS = 0.5
# How long reading is not tried after it failed: a Redis that hangs costs a wait a second, not one a page.
AWAY_SECONDS = 1.0
POOL_CONNECTIONS = 20


class PageCache:
    """Pages of results, in Redis. A cache that is away is an empty cache: it costs speed and nothing else.

    A page's key holds the generation of its time, so that one write makes every page before it unfindable,
    also those that are being computed from what was there before the write.
    """

    def __init__(self, client: "redis.Redis", lifetime: int) -> None:
        self._client = client
        self._lifetime = lifetime
        self._away_until = 0.0

    def key(self, kind: str, asked: dict[str, Any]) -> str | None:
        """Where the page of this question lies now; None while the cache is away."""
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
        question = hashlib.sha256(orjson.dumps([kind, asked], option=orjson.OPT_SORT_KEYS)).hexdigest()
        return f"{PAGES}{generation!r}:{question}"

    def get(self, key: str | None) -> Any:
        """The page that was put under `key`; None where there is none."""
        if key is None:
            return None
        try:
            page = self._client.get(key)
        except redis.RedisError as error:
            self._away(error)
            return None
        return None if page is None else orjson.loads(page)

    def put(self, key: str | None, page: Any) -> None:
        if key is None:
            return
        try:
            self._client.set(key, orjson.dumps(page), ex=self._lifetime)
        except redis.RedisError as error:
            self._away(error)

    def invalidate(self) -> None:
        """Forget every page, after a write. Where Redis is away the pages end with their lifetime."""
        try:
            self._client.set(GENERATION, secrets.token_hex(8))
        except redis.RedisError as error:
            self._away(error)

    def clear(self) -> None:
        """Forget every page and give its memory back at once."""
        self.invalidate()
        try:
            for key in self._client.scan_iter(match=f"{PAGES}*", count=1000):
                self._client.unlink(key)
        except redis.RedisError as error:
            self._away(error)

    def _away(self, error: redis.RedisError) -> None:
        self._away_until = time.monotonic() + AWAY_SECONDS
        _log.warning("the cache is away: %s", type(error).__name__)


def redis_client(url: str) -> "redis.Redis":
    """A client whose every wait is bounded, and that does not try again by itself."""
    # This pool waits for a free connection where the default one would raise.
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=POOL_CONNECTIONS,
        timeout=SOCKET_SECONDS,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return redis.Redis(connection_pool=pool)


class Cache(DependencyProvider):
    """Injects a PageCache: in Redis, or in this process where REDIS_URL is empty."""

    def setup(self) -> None:
        settings = config.settings(self.container.config)
        client = redis_client(settings.REDIS_URL) if settings.REDIS_URL else fakeredis.FakeRedis()
        self.cache = PageCache(client, settings.CACHE_LIFETIME)

    def get_dependency(self, worker_ctx: Any) -> PageCache:  # noqa: ARG002
        return self.cache
