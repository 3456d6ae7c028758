"""No machine's own clock decides anything: the database's does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.clocks import faked, trial
from tests.clients import sign_up
from tests.platforms import FullDeployment, connect, running
from tests.servers import ServerUrls

YEARS = 10 * 365 * 86400
CLOCKS = {"auth-0": YEARS, "movies-0": -YEARS, "gateway-0": -60, "notifications-0": 60}


@pytest.fixture
def deployment(apart: ServerUrls, tmp_path: Path) -> Iterator[FullDeployment]:
    """One that is wrong about the time in four ways."""
    deployment = FullDeployment(apart, tmp_path)
    deployment.of_part = {part: faked(seconds) for part, seconds in CLOCKS.items()}
    with running(deployment):
        yield deployment


def test_parts_whose_clocks_differ_refuse_nothing(deployment: FullDeployment) -> None:
    """The whole table: `python -m tests.bench.clocks`."""
    gateway = deployment.gateways[0]
    people = [sign_up(gateway) for _ in range(5)]
    movie = people[0].api.create_movie()
    refused = trial(deployment, people, movie, gateway, deployment.notifiers[0])
    assert refused.none, refused
    assert refused.seconds < 30
    assert people[0].api.post("/api/auth/logout").status_code == 200
    assert people[0].api.get("/api/auth/me").status_code == 401
    for name, url in (("auth", deployment.databases.auth), ("movies", deployment.databases.movies)):
        for table, column, lead in MOMENTS[name]:
            assert abs(furthest(url, table, column) - lead) < 60, (table, column)


MOMENTS = {
    "auth": [("users", "created_at", 0), ("sessions", "expires_at", 3600), ("signing_keys", "created_at", 0)],
    "movies": [("movies", "updated_at", 0), ("reviews", "created_at", 0)],
}


def furthest(url: str, table: str, column: str) -> float:
    """How many seconds ahead of the database's clock the moment is that is furthest from it."""
    connection = connect(url)
    try:
        with connection.cursor() as cursor:
            ahead = f"extract(epoch FROM {column} - clock_timestamp())::float8"
            cursor.execute(f"SELECT {ahead} FROM {table} ORDER BY abs({ahead}) DESC LIMIT 1")
            (seconds,) = cursor.fetchone() or (0.0,)
            return float(seconds)
    finally:
        connection.close()
