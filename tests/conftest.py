"""The servers and the platforms, started once for all tests that ask for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings

from tests.chaos.stage import Size, Stage
from tests.platforms import Databases, Embedded, FullDeployment, Platform, running
from tests.servers import PrivateServers, RabbitMq, Redis, ServerUrls

# No deadlines, which a busy machine would miss; where a change lands, the same examples every time.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize="CI" in os.environ,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")


# A test's one socket says in a moment what takes people minutes.
CHATTY = {"NOTIFIER_MESSAGE_RATE": "200"}


@pytest.fixture(scope="session")
def servers() -> Iterator[ServerUrls]:
    """A private RabbitMQ, Redis and PostgreSQL, or those that the environment gives."""
    with PrivateServers() as running:
        yield running.urls


@pytest.fixture(scope="module")
def apart(servers: ServerUrls) -> Iterator[ServerUrls]:
    """The same PostgreSQL, and a deployment's own RabbitMQ and Redis: calls go to whichever service of
    a name takes them first, and pages are kept by a film's id.
    """
    with RabbitMq() as rabbitmq, Redis() as redis:
        yield replace(servers, amqp=rabbitmq.url, redis=redis.url)


@pytest.fixture
def databases(servers: ServerUrls) -> Iterator[Databases]:
    """Two that are empty, for one test."""
    fresh = Databases.create(servers.postgres)
    yield fresh
    fresh.drop()


@pytest.fixture(scope="session")
def full_deployment(
    servers: ServerUrls, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FullDeployment]:
    """Two gateways, two movies services, two notifiers and one auth on real servers."""
    deployment = FullDeployment(servers, tmp_path_factory.mktemp("full"), gateways=2, movies=2, notifiers=2)
    deployment.environment |= CHATTY
    with running(deployment):
        yield deployment


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Two gateways and two movies services on servers of their own, all of which a test may hurt."""
    with Stage.open(Size(notifiers=1), folder=tmp_path_factory.mktemp("stage")) as stage:
        yield stage
        stage.deployment.stop()


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """The embedded default on a data folder of its own."""
    platform = Embedded(tmp_path_factory.mktemp("embedded"))
    platform.environment |= CHATTY
    with running(platform):
        yield platform


@pytest.fixture(scope="session", params=["embedded", "full_deployment"])
def platform(request: pytest.FixtureRequest) -> Platform:
    """Each of the two, for what must hold on both."""
    chosen: Platform = request.getfixturevalue(request.param)
    return chosen
