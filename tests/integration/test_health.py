"""Whether auth and movies are well, as asked by the command and as seen by the file that compose looks at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.platforms import FullDeployment
from tests.processes import PROGRAMS, free_port, run, wait_until


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


@pytest.mark.parametrize("service", ["auth", "movies"])
def test_a_service_touches_its_file_while_it_is_well(
    full_deployment: FullDeployment, tmp_path: Path, service: str
) -> None:
    command: list[str | Path] = [PROGRAMS / "nameko", "run", "--config", "config.yaml", f"{service}.service"]
    files = {name: tmp_path / name for name in ("well", "not well")}
    away = {"AMQP_URI": f"amqp://guest:guest@127.0.0.1:{free_port()}//"}
    processes = [
        full_deployment.start_process(f"{service}-file", command, {"HEALTH_FILE": str(files["well"])}),
        full_deployment.start_process(
            f"{service}-no-file", command, {"HEALTH_FILE": str(files["not well"]), **away}
        ),
    ]
    try:
        wait_until(files["well"].exists, 60, "it touches the file")
        first = files["well"].stat().st_mtime_ns
        wait_until(lambda: files["well"].stat().st_mtime_ns > first, 60, "it does so again")
        assert not files["not well"].exists()
    finally:
        for process in processes:
            process.terminate()
        assert [process.stop() for process in processes] == [0, 0]
        for process in processes:
            full_deployment.processes.remove(process)
