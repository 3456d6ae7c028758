"""RabbitMQ, PostgreSQL and Redis behind certificates of an authority of one's own, which the URLs name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.clients import sign_up
from tests.integration.test_shell import answers, look_at, shell
from tests.platforms import FullDeployment, running
from tests.processes import run
from tests.servers import ServerUrls
from tests.tls import certificates, in_front_of


@pytest.fixture(scope="module")
def secure(apart: ServerUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullDeployment]:
    """Every part's every connection is by TLS: the deployment's environment has no other way."""
    folder = tmp_path_factory.mktemp("secure")
    made = certificates(folder)
    deployment = FullDeployment(apart, folder)
    with ExitStack() as stack:

        def secured(url: str, scheme: str, **query: str) -> str:
            plain = make_url(url)
            assert plain.port
            postgres = scheme.startswith("postgresql")
            port = stack.enter_context(in_front_of(plain.port, made, postgres=postgres))
            return (
                plain.set(drivername=scheme, port=port)
                .update_query_dict(query)
                .render_as_string(hide_password=False)
            )

        authority = str(made.authority)
        databases = {"sslmode": "verify-full", "sslrootcert": authority}
        deployment.environment |= {
            "AMQP_URI": secured(apart.amqp, "amqps", ssl_ca_certs=authority),
            "REDIS_URL": secured(apart.redis, "rediss", ssl_ca_certs=authority),
            "AUTH_DATABASE_URL": secured(deployment.databases.auth, "postgresql", **databases),
            "MOVIES_DATABASE_URL": secured(deployment.databases.movies, "postgresql", **databases),
        }
        stack.enter_context(running(deployment))
        yield deployment


def test_every_part_comes_to_every_server(secure: FullDeployment) -> None:
    account = sign_up(secure.gateways[0])
    movie = account.api.create_movie()
    assert account.api.create_review(movie)
    assert answers(shell(secure.environment, look_at(movie))) == [str(movie)]
    for service in ("auth", "movies"):
        asked = run([sys.executable, "-m", "broker.health", service], secure.environment)
        assert asked.returncode == 0, asked.stdout


def test_who_is_not_vouched_for_is_not_talked_to(secure: FullDeployment) -> None:
    url = secure.environment["AMQP_URI"].partition("?")[0]
    said = shell({**secure.environment, "AMQP_URI": url})
    assert said.returncode == 2
    assert "the broker cannot be reached (" in said.stderr


def test_a_certificate_for_another_host_is_refused(servers: ServerUrls, tmp_path: Path) -> None:
    made = certificates(tmp_path, "127.0.0.2")
    plain = make_url(servers.amqp)
    assert plain.port
    with in_front_of(plain.port, made) as port:
        url = plain.set(drivername="amqps", port=port).update_query_dict(
            {"ssl_ca_certs": str(made.authority)}
        )
        said = shell({"AMQP_URI": url.render_as_string(hide_password=False)})
    assert said.returncode == 2
    assert "the broker cannot be reached (" in said.stderr
