"""The client of Redis, which is never waited for long."""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SOCKET_SECONDS = 0.5
# How long it is not tried after it failed: a Redis that hangs costs a wait a second, not one a request.
AWAY_SECONDS = 1.0
POOL_CONNECTIONS = 20


def redis_pool(url: str) -> redis.BlockingConnectionPool:
    """Connections whose every wait is bounded, and that do not try again by themselves."""
    # This pool waits for a free connection where the default one would raise.
    return redis.BlockingConnectionPool.from_url(
        url,
        max_connections=POOL_CONNECTIONS,
        timeout=SOCKET_SECONDS,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def redis_client(url: str) -> "redis.Redis":
    """A client of such a pool."""
    return redis.Redis(connection_pool=redis_pool(url))
