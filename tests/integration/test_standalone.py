"""`make run`: the whole platform in one process, with nothing else installed."""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from broker.embedded_postgres import EmbeddedPostgres
from tests.bench.idle import Usage
from tests.chaos import starts
from tests.clients import Api, sign_in, sign_up
from tests.platforms import Embedded, wait_until_ready
from tests.processes import Process, free_port, run, wait_until

IDLE_SECONDS = 3
CONNECTIONS = 20


class Made(Embedded):
    """The embedded default, started by the README's command."""

    def start(self) -> None:
        self.process = Process("make-run", ["make", "run"], self.environment, self.folder)
        wait_until_ready(self.gateways, self.notifiers, [self.process])


def refuse(environment: Mapping[str, str], *arguments: str) -> str:
    """What standalone.py says on standard error when it exits with 2."""
    ended = run([sys.executable, "standalone.py", *arguments], environment)
    assert ended.returncode == 2, ended.stderr
    return ended.stderr


def postgres_pid(platform: Embedded) -> int:
    pid_file = platform.folder / "data" / "postgres-18" / "postmaster.pid"
    return int(pid_file.read_text().splitlines()[0])


def runs(pid: int) -> bool:
    """Whether a process still works; one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_data_survive_a_restart_and_a_signal_stops_everything(tmp_path: Path) -> None:
    platform = Made(tmp_path)
    platform.start()
    gateway = platform.gateways[0]
    alice = sign_up(gateway)
    assert Api(gateway).get("/api/movies?limit=1000").json() != [], "the sample catalogue is there"
    review = alice.api.create_review(42, title="Kept")
    first_postgres = postgres_pid(platform)
    assert platform.process is not None
    # As Ctrl-C in a terminal: to everyone in the foreground.
    os.killpg(platform.process.pid, signal.SIGINT)
    platform.process.wait()
    wait_until(lambda: not runs(first_postgres), 5, "PostgreSQL stops")

    platform.start()
    try:
        assert sign_in(gateway, alice.email).api.get(f"/api/reviews/{review}").json()["title"] == "Kept"
        second_postgres = postgres_pid(platform)
    finally:
        platform.stop()
    wait_until(lambda: not runs(second_postgres), 5, "PostgreSQL stops")


def test_it_says_where_things_are_and_how_to_make_an_admin(embedded: Embedded) -> None:
    assert embedded.process is not None
    said = embedded.process.log.read_text()
    assert f"{embedded.gateways[0]}/api/movies" in said
    assert embedded.notifiers[0].replace("http://", "ws://") in said
    assert "standalone.py set-role USERNAME admin" in said


def test_killed_in_its_first_start_and_again_later_it_has_everything(tmp_path: Path) -> None:
    """The short form of `python -m tests.chaos.starts`."""
    found = starts.run(starts.Starts(tmp_path, random.Random(1), (starts.NEW,)), 1, "short")
    assert [check.row for check in found.failed] == []


def test_set_role_works_while_it_runs_and_leaves_it_running(embedded: Embedded) -> None:
    admin = sign_up(embedded.gateways[0])
    assert admin.api.delete("/api/movies/cache/clear").status_code == 403
    embedded.set_role(admin.username, "admin")
    wait_until(lambda: admin.api.delete("/api/movies/cache/clear").status_code == 200, 5, "the role is known")


def test_set_role_of_nobody_says_so(embedded: Embedded) -> None:
    assert refuse(embedded.environment, "set-role", "nobody-of-this-name", "admin") == "User not found\n"


def test_set_role_before_there_are_accounts_says_so(tmp_path: Path) -> None:
    """As between the first start's PostgreSQL and its tables."""
    platform = Embedded(tmp_path)
    (tmp_path / "data").mkdir()
    with EmbeddedPostgres(tmp_path / "data", owner=True, connections=CONNECTIONS):
        said = refuse(platform.environment, "set-role", "alice", "admin")
    assert said.splitlines()[-1] == "There are no accounts yet: alice cannot be admin"
    assert "Traceback" not in said


@pytest.mark.parametrize("name", ["GATEWAY_PORT", "NOTIFIER_PORT"])
def test_a_port_that_is_taken_is_named_in_one_line(tmp_path: Path, name: str) -> None:
    ports = {"GATEWAY_PORT": str(free_port()), "NOTIFIER_PORT": str(free_port())}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports[name] = str(taken.getsockname()[1])
        said = refuse({**ports, "DATA_FOLDER": str(tmp_path)})
    assert said == f"{name} {ports[name]} on 127.0.0.1: Address already in use; set {name} to another\n"


def test_a_second_one_on_the_same_data_is_refused(embedded: Embedded) -> None:
    ports = {"GATEWAY_PORT": str(free_port()), "NOTIFIER_PORT": str(free_port())}
    assert "a platform is running on it already" in refuse({**embedded.environment, **ports})


@pytest.mark.parametrize("content", ["a: [", "- no mapping", "GATEWAY_PORT: eighty"])
def test_a_broken_config_is_said_in_one_line(tmp_path: Path, content: str) -> None:
    broken = tmp_path / "config.yaml"
    broken.write_text(content)
    assert refuse({}, "--config", str(broken)).count("\n") == 1


def test_a_python_too_old_is_said_in_one_line(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\ncase "$2" in *version_info*) exit 1;; *) echo 3.9.2;; esac\n')
    old.chmod(0o755)
    ended = run(["./setup.sh", str(tmp_path / "venv"), "requirements.lock"], {"PYTHON": str(old)})
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"Python 3.11 or newer is needed; '{old}' is 3.9.2;")
    assert ended.stderr.count("\n") == 1


def test_help_tells_the_commands() -> None:
    shown = run([sys.executable, "standalone.py", "--help"])
    assert shown.returncode == 0
    assert "set-role" in shown.stdout


def test_nobody_asks_and_it_hardly_wakes_up(embedded: Embedded) -> None:
    """It was 216 times a second as long as queues in memory were looked into again and again, and is 17."""
    assert embedded.process
    before = Usage.of([embedded.process.pid]).waits
    time.sleep(IDLE_SECONDS)
    assert (Usage.of([embedded.process.pid]).waits - before) / IDLE_SECONDS < 60
