"""`make run` and signals: at whatever moment one comes, nothing is left behind, and nothing is said of it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from broker.embedded_postgres import pid_file, processes
from broker.interruption import ECHO_SECONDS
from tests.clients import Api, sign_up
from tests.platforms import Embedded, wait_until_ready
from tests.processes import Process, wait_until

PARTS = ("auth", "movies")
STOPPED_SECONDS = 1
# Whoever runs the tests may ignore some.
HOLDING = ["env", "--default-signal=INT,HUP", "--block-signal=INT,TERM,HUP"]
# What is there to be seen when the signal is sent.
MOMENTS: dict[str, Callable[[Path, Process], bool]] = {
    "python begins": lambda _, process: is_ours(process.pid),
    "modules are imported": lambda data, _: data.exists(),
    "initdb": lambda data, _: (data / "postgres-18.unfinished" / "PG_VERSION").exists(),
    "the server starts": lambda data, _: (data / "postgres-18" / "postmaster.pid").exists(),
    "migrations": lambda data, _: (data / "postgres-18" / "base" / "16385").exists(),
}


def is_ours(pid: int) -> bool:
    """Whether it is our program already, and not who holds signals back for it, or a copy of the tests."""
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return words[1:2] == ["standalone.py"]


class Direct(Embedded):
    """As the README's command starts it, without make."""

    def begin(self, *, output: str = "", before: tuple[str, ...] = ()) -> Process:
        command = [*HOLDING, *before, sys.executable, "standalone.py"]
        if output:
            command = ["/bin/sh", "-c", f'exec "$@" {output}', "sh", *command]
        self.process = Process("standalone", command, self.environment, self.folder)
        return self.process


def said(process: Process) -> list[str]:
    """Without what a start as root says of the folders above it, and the log of one that came up."""
    lines = process.log.read_text().splitlines()
    return [line for line in lines if not (line.endswith("run as root") or line[:1].isdecimal())]


def nothing_is_left(data: Path) -> None:
    for cluster in data.glob("postgres-18*"):
        if cluster.is_dir():
            wait_until(lambda cluster=cluster: processes.of(cluster) == [], 20, "PostgreSQL ends")
    assert not (data / "postgres-18.unfinished").exists()


CASES = [
    ("python begins", signal.SIGINT),
    ("python begins", signal.SIGTERM),
    ("python begins", signal.SIGHUP),
    ("modules are imported", signal.SIGINT),
    ("initdb", signal.SIGHUP),
    ("the server starts", signal.SIGTERM),
    ("migrations", signal.SIGINT),
]


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("env"), reason="GNU's env holds signals back")
@pytest.mark.parametrize(("moment", "number"), CASES)
def test_a_start_is_interrupted_without_a_word(tmp_path: Path, moment: str, number: signal.Signals) -> None:
    platform = Direct(tmp_path)
    process = platform.begin()
    wait_until(lambda: MOMENTS[moment](tmp_path / "data", process), 30, moment)
    os.killpg(process.pid, number)
    assert process.wait() == 0, process.tail()
    assert said(process) == []
    nothing_is_left(tmp_path / "data")


def test_the_end_of_the_terminal_is_none_under_nohup(tmp_path: Path) -> None:
    platform = Direct(tmp_path)
    process = platform.begin(before=("nohup",))
    wait_until(lambda: MOMENTS["initdb"](tmp_path / "data", process), 30, "it starts")
    process.signal(signal.SIGHUP)
    wait_until(lambda: MOMENTS["the server starts"](tmp_path / "data", process), 30, "it goes on")
    process.signal(signal.SIGTERM)
    assert process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_was_interrupted_says_so_by_its_code(tmp_path: Path, number: signal.Signals) -> None:
    """It has not done what it was told to."""
    command = [*HOLDING, sys.executable, "standalone.py", "set-role", "alice", "admin"]
    process = Process("set-role", command, {"DATA_FOLDER": str(tmp_path)}, tmp_path)
    wait_until(lambda: MOMENTS["python begins"](tmp_path, process), 30, "it begins")
    process.signal(number)
    assert process.wait() == 130
    assert process.log.read_text() == ""


@pytest.fixture(scope="module")
def mute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Direct]:
    """A platform whose standard output is on a full disk."""
    platform = Direct(tmp_path_factory.mktemp("mute"))
    process = platform.begin(output=">/dev/full")
    try:
        wait_until_ready(platform.gateways, platform.notifiers, [process])
        yield platform
    finally:
        process.end()


def log_of(platform: Direct) -> str:
    assert platform.process is not None
    return platform.process.log.read_text()


def works(platform: Direct) -> bool:
    """Whether it reads from both databases."""
    try:
        return all(Api(platform.gateways[0]).get(f"/api/{each}/status").status_code == 200 for each in PARTS)
    except requests.RequestException:
        return False


def postmaster_of(platform: Direct) -> psutil.Process:
    found = pid_file.postmaster(platform.folder / "data" / "postgres-18")
    assert found is not None
    return found


def test_a_full_disk_under_its_output_keeps_nobody_from_starting(mute: Direct) -> None:
    wait_until(lambda: "this goes on without it" in log_of(mute), 20, "it says so")
    assert "standard output takes nothing (No space left on device)" in log_of(mute)
    assert works(mute)


def test_a_server_that_is_killed_is_there_again(mute: Direct) -> None:
    account = sign_up(mute.gateways[0])
    review = account.api.create_review(42, title="Before the kill")
    killed = postmaster_of(mute)
    killed.kill()
    wait_until(lambda: "PostgreSQL is there again" in log_of(mute), 60, "it is started again")
    wait_until(lambda: works(mute), 30, "the services go on")
    assert "PostgreSQL is gone (it ended by SIGKILL): it is started again" in log_of(mute)
    assert account.api.get(f"/api/reviews/{review}").json()["title"] == "Before the kill"


def test_a_servers_process_that_is_killed_is_told_of(mute: Direct) -> None:
    backend = next(each for each in postmaster_of(mute).children() if "auth" in " ".join(each.cmdline()))
    backend.kill()
    wait_until(lambda: "PostgreSQL cut off its clients and recovers: " in log_of(mute), 30, "it is said")
    wait_until(lambda: works(mute), 30, "the services go on")
    assert "client backend was terminated by signal 9: Killed" in log_of(mute)


def test_a_server_whose_socket_was_swept_away_is_started_again(mute: Direct) -> None:
    folder = pid_file.ready_socket_folder(mute.folder / "data" / "postgres-18")
    assert folder is not None
    shutil.rmtree(folder)
    wait_until(lambda: f"its socket in {folder} was removed" in log_of(mute), 30, "it is noticed")
    wait_until(lambda: works(mute), 30, "the services go on")


def test_one_that_stood_still_goes_on(mute: Direct) -> None:
    """A lid that was closed, or Ctrl-Z."""
    assert mute.process is not None
    mute.process.signal(signal.SIGSTOP)
    time.sleep(STOPPED_SECONDS)
    mute.process.signal(signal.SIGCONT)
    wait_until(lambda: works(mute), 30, "the services go on")


def test_the_terminal_closes_and_somebody_is_in_a_hurry(mute: Direct) -> None:
    """Last here: it ends the platform. In that of the others nothing is left behind either."""
    assert mute.process is not None
    mute.process.signal(signal.SIGHUP)
    time.sleep(ECHO_SECONDS)
    mute.process.signal(signal.SIGINT)
    assert mute.process.wait() == 0
    assert "Traceback" not in log_of(mute)
    nothing_is_left(mute.folder / "data")
