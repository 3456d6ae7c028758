"""The health command that compose uses for auth and movies."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.platforms import FullDeployment
from tests.processes import ROOT, free_port


def health(service: str, amqp: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "broker.health", service, "--timeout", "5"],
        cwd=ROOT,
        env={**os.environ, "AMQP_URI": amqp},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize("service", ["auth", "movies"])
def test_a_service_that_answers_is_well(full_deployment: FullDeployment, service: str) -> None:
    answered = health(service, full_deployment.servers.amqp)
    assert (answered.returncode, answered.stdout) == (0, f"{service}: OK, database Connected\n")


def test_without_a_broker_it_is_not() -> None:
    failed = health("auth", f"amqp://guest:hidden@127.0.0.1:{free_port()}//")
    assert failed.returncode == 1
    assert failed.stdout.startswith("auth: ")
    assert "hidden" not in failed.stdout + failed.stderr
