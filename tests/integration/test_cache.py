"""Redis is a cache: losing it costs speed and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import redis
import requests

from broker.history import History
from broker.redis_client import redis_client
from movies.providers import RedisCache
from tests.bench.usage import rss_kib
from tests.clients import Api, sign_up
from tests.platforms import Embedded, FullDeployment
from tests.processes import free_port, wait_until
from tests.servers import ServerUrls


def test_flushing_redis_loses_nothing(full_deployment: FullDeployment) -> None:
    first, second = full_deployment.gateways
    user = sign_up(first)
    movie = user.api.create_movie()
    revoked = sign_up(first)
    revoked.api.post("/api/auth/logout")
    redis.Redis.from_url(full_deployment.servers.redis).flushall()
    assert user.api.get(f"/api/movies/{movie}").status_code == 200
    assert user.api.get("/api/movies/popular").json()["message"] == "Results retrieved from database"
    assert user.api.get("/api/auth/me").status_code == 200
    for gateway in (first, second):
        wait_until(
            lambda gateway=gateway: Api(gateway, revoked.token).get("/api/auth/me").status_code == 401,  # type: ignore[misc]
            5,
            "the revoked token is refused",
        )


def test_a_page_of_one_movies_service_is_dropped_by_a_write_of_the_other(
    full_deployment: FullDeployment,
) -> None:
    user = sign_up(full_deployment.gateways[0])
    for _ in range(4):  # requests go to either of the two services
        movie = user.api.create_movie()
        user.api.create_review(movie)
        shown = user.api.get("/api/movies/popular?limit=1000").json()["data"]
        assert movie in [each["id"] for each in shown]


def test_a_cache_that_is_away_is_an_empty_cache() -> None:
    cache = RedisCache(redis_client(f"redis://127.0.0.1:{free_port()}"), lifetime=60)
    cache.in_history(History(1, "a" * 32, datetime.now(UTC)))
    key = cache.key("popular", {"limit": 10})
    cache.put(key, {"data": []})
    cache.invalidate()
    cache.clear()
    assert cache.get(key) is None


def test_pages_of_another_history_are_not_found(servers: ServerUrls) -> None:
    cache = RedisCache(redis_client(servers.redis), lifetime=60)
    assert cache.key("popular", {"limit": 10}) is None, "while it is not known which one it is"
    first, second = (History(number, f"{number}" * 32, datetime.now(UTC)) for number in (1, 2))
    found = []
    for history in (first, first, second):
        cache.in_history(history)
        key = cache.key("popular", {"limit": 10})
        found.append(cache.get(key))
        cache.put(key, {"data": [history.number]})
    assert found == [None, {"data": [1]}, None]


def test_distinct_searches_do_not_fill_the_memory(tmp_path: Path) -> None:
    """Where there is no Redis: each of these is a page of half a megabyte."""
    platform = Embedded(tmp_path)
    platform.environment["CACHE_BYTES"] = str(8 * 2**20)
    platform.start()
    try:
        assert platform.process
        api = Api(platform.gateways[0])

        def search(number: int) -> None:
            path = f"/api/movies/search?limit=1000&max_rating=9.{1000 + number}"
            assert len(api.get(path).content) > 100_000

        for number in range(100):
            search(number)
        before = rss_kib(platform.process.pid) * 1024
        for number in range(100, 500):
            search(number)
        assert rss_kib(platform.process.pid) * 1024 - before < 16 * 2**20
    finally:
        assert platform.stop() == 0


def test_liveness_is_a_plain_200(full_deployment: FullDeployment) -> None:
    for base in full_deployment.gateways + full_deployment.notifiers:
        assert requests.get(f"{base}/health/live", timeout=5).json() == {"status": "OK"}
