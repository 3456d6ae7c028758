"""Settings that cannot be end every start with a line for each fault, code 2, and nothing else.

Each setting in each way to be wrong is tried in tests/unit/broker/config; with each way to start as a process
of its own, by `python -m tests.bench.settings`.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
from pathlib import Path

import pytest
import requests

from broker.config import model
from tests.entry_points import entry_points
from tests.platforms import Embedded, running
from tests.processes import PROGRAMS, ROOT, free_port, run

# What each entry point lacks beside what is wrong is not told here.
COMPLETE = {
    "AMQP_URI": "amqp://guest:guest@127.0.0.1:1//",
    "AUTH_DATABASE_URL": "postgresql://auth:a-secret@127.0.0.1:1/auth",
    "MOVIES_DATABASE_URL": "postgresql://movies:a-secret@127.0.0.1:1/movies",
}
WRONG = {
    "MAX_WORKERS": "abc",
    "AMQP_HEARTBEAT": "-1",
    "LOG_LEVEL": "",
    "GATEWAY_PORT": "70000",
    "GATEWAY_HSOT": "::1",
    "REDIS_URL": "redis://user:a-secret@h/abc",
}
SAID = [
    "there is no setting NOTIFIER_PROT; did you mean NOTIFIER_PORT?",
    "NOTIFIER_PROT is there twice, first in line ",
    "environment variable GATEWAY_HSOT is read by nobody; did you mean GATEWAY_HOST?",
    "setting REDIS_URL: must name a database by its number",
    "setting GATEWAY_PORT: must be a whole number from 1 to 65535 (the environment says '70000')",
    "setting MAX_WORKERS: must be a whole number from 1 to 1000 (the environment says 'abc')",
    "setting AMQP_HEARTBEAT: must be a whole number from 1 to 3600 (the environment says '-1')",
    "setting LOG_LEVEL: must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL (the environment says '')",
]


def environment(config: Path, **wrong: str) -> dict[str, str]:
    return {**COMPLETE, "CONFIG": str(config), "PYTHONPATH": str(ROOT), **wrong}


@pytest.mark.parametrize("name", entry_points(ROOT))
def test_all_that_is_wrong_is_said_in_a_line_each(tmp_path: Path, name: str) -> None:
    config = tmp_path / "config.yaml"
    shutil.copy(ROOT / "config.yaml", config)
    with config.open("a", encoding="utf-8") as file:
        file.write("NOTIFIER_PROT: 1\nNOTIFIER_PROT: 2\n")
    ended = run(entry_points(config)[name], environment(config, **WRONG))
    lines = ended.stderr.splitlines()
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    assert len(lines) == len(SAID) + 1, ended.stderr  # a key that is none of ours is there twice
    for said in SAID:
        assert [line for line in lines if said in line], f"{said!r} is not in {ended.stderr}"
    assert "a-secret" not in ended.stderr


@pytest.mark.parametrize("name", ["make run", "nameko run gateway.service", "notifications"])
@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no-such-host.invalid"])
def test_an_address_that_cannot_be_is_one_line(tmp_path: Path, name: str, host: str) -> None:
    hosts = {"GATEWAY_HOST": host, "NOTIFIER_HOST": host, "DATA_FOLDER": str(tmp_path)}
    config = ROOT / "config.yaml"
    ended = run(entry_points(config)[name], environment(config, **hosts))
    assert ended.returncode == 2, ended.stderr
    assert re.fullmatch(rf"(\w+: )?(GATEWAY|NOTIFIER)_HOST {host}: .+\n", ended.stderr), ended.stderr


@pytest.mark.parametrize("name", ["nameko run gateway.service", "notifications"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_is_taken_is_one_line(name: str, host: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as taken:
        try:
            taken.bind((host, 0))
        except OSError:
            assert host == "::1", "a machine without IPv6"
            return
        taken.listen()
        port = str(taken.getsockname()[1])
        wrong = {"GATEWAY_HOST": host, "NOTIFIER_HOST": host, "GATEWAY_PORT": port, "NOTIFIER_PORT": port}
        ended = run(entry_points(ROOT / "config.yaml")[name], environment(ROOT / "config.yaml", **wrong))
    assert ended.returncode == 2, ended.stderr
    assert re.fullmatch(
        rf"\w+: (\w+)_PORT {port} on {host}: Address already in use; set \1_PORT to another\n", ended.stderr
    ), ended.stderr


def speaks_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_both_doors_listen_on_ipv6(tmp_path: Path) -> None:
    """One on IPv6 alone; the other on all that there is, IPv4 too."""
    platform = Embedded(tmp_path)
    platform.environment |= {"GATEWAY_HOST": "[::1]", "NOTIFIER_HOST": "::"}
    gateway, notifier = (platform.environment[name] for name in ("GATEWAY_PORT", "NOTIFIER_PORT"))
    platform.gateways[:] = [f"http://[::1]:{gateway}"]
    if not speaks_ipv6():
        ended = run([PROGRAMS / "python", "standalone.py"], platform.environment)
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
        return
    with running(platform):
        assert platform.process is not None
        for host in ("[::1]", "127.0.0.1"):
            assert requests.get(f"http://{host}:{notifier}/health/ready", timeout=10).status_code == 200
        said = platform.process.log.read_text()
    assert f"  REST    http://[::1]:{gateway}/api/movies\n  rooms   ws://[::]:{notifier} " in said


def test_one_port_for_both_doors_is_one_line(tmp_path: Path) -> None:
    port = str(free_port())
    ports = {"GATEWAY_PORT": port, "NOTIFIER_PORT": port, "DATA_FOLDER": str(tmp_path)}
    ended = run([PROGRAMS / "python", "standalone.py"], ports)
    assert ended.returncode == 2
    said = f"settings GATEWAY_PORT, NOTIFIER_PORT: both are {port}; each door needs one of its own\n"
    assert ended.stderr == said


def test_settings_are_shown_with_their_origin_and_no_secret() -> None:
    given = {"REDIS_URL": "redis://:canary-1@cache:6379/0", "SIGNING_KEY_SECRET": "canary-2"}
    clean = {name: "" for name in model.VARIABLES if name in os.environ and name not in given}
    assert not clean, "the tests' own environment has settings"
    shown = run(["make", "settings"], {**given, "LOG_LEVEL": "debug"})
    assert shown.returncode == 0, shown.stderr
    assert "REDIS_URL = redis://:***@cache:6379/0  (environment)\n" in shown.stdout
    assert "SIGNING_KEY_SECRET = ***  (environment)\n" in shown.stdout
    assert "LOG_LEVEL = DEBUG  (environment)\n" in shown.stdout
    assert "GATEWAY_PORT = 8000  (default)\n" in shown.stdout
    assert "canary" not in shown.stdout + shown.stderr
    named = set(re.findall(r"^(\w+) = ", shown.stdout, re.M))
    assert named == {model.variable(name) or name for name in model.NAMES}
