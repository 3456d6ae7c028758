"""The health command that compose uses for auth and movies."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.platforms import FullDeployment
from tests.processes import free_port, run


def health(service: str, amqp: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "broker.health", service, "--timeout", "5"], {"AMQP_URI": amqp})


@pytest.mark.parametrize("service", ["auth", "movies"])
def test_a_service_that_answers_is_well(full_deployment: FullDeployment, service: str) -> None:
    answered = health(service, full_deployment.servers.amqp)
    assert (answered.returncode, answered.stdout) == (0, f"{service}: OK, database Connected\n")


def test_without_a_broker_it_is_not() -> None:
    failed = health("auth", f"amqp://guest:hidden@127.0.0.1:{free_port()}//")
    assert failed.returncode == 1
    assert failed.stdout.startswith("auth: ")
    assert "hidden" not in failed.stdout + failed.stderr
