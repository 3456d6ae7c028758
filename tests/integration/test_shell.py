"""The operators' shell: it reaches whichever platform runs, and what it gives up is not done."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kombu
import pytest

from broker import local_socket
from broker.calls import MOST_CALL_BYTES
from tests.clients import Api, sign_up
from tests.platforms import Embedded, FullDeployment, Platform, running
from tests.processes import PROGRAMS, ROOT, RUN_SECONDS, wait_until

BACK_SECONDS = 30
SOON_SECONDS = 4  # a Python with all that it imports, on a busy machine, and no waiting
ACTOR = '{"id": 1, "username": "alice"}'
# What `make setup` makes of the program.
NAMEKO = "import sys; from broker.command import nameko; sys.exit(nameko())"
# One that goes on after an exception, as at a terminal.
FORGIVING = """
import sys
from broker.shell import main
from nameko.cli.shell import ShellRunner, code
ShellRunner.plain = lambda self: code.interact(banner=self.banner, local=self.local)
sys.exit(main(["--interface", "plain"]))
"""
COMMANDS = {
    "make shell": ["make", "-s", "-o", "setup", "shell"],
    "python -m broker.shell": [sys.executable, "-m", "broker.shell"],
    "nameko shell": [sys.executable, "-c", NAMEKO, "shell", "--config", "config.yaml"],
}


def shell(
    platform_environment: Mapping[str, str],
    script: str = "",
    command: list[str] | None = None,
    cwd: Path = ROOT,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command or COMMANDS["python -m broker.shell"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **platform_environment},
        input=script,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )


def environment(platform: Platform) -> dict[str, str]:
    assert isinstance(platform, Embedded | FullDeployment)
    return platform.environment


def look_at(movie: int) -> str:
    return f"n.rpc['movies'].get({movie})['id']\n"


def answers(ended: subprocess.CompletedProcess[str]) -> list[str]:
    assert ended.returncode == 0, ended.stderr
    return [answer.strip() for answer in ended.stdout.split(">>> ") if answer.strip()]


@pytest.mark.parametrize("command", COMMANDS)
def test_it_reaches_the_platform_that_runs(platform: Platform, command: str) -> None:
    alice = sign_up(platform.gateways[0])
    movie = alice.api.create_movie()
    script = f"n.rpc.auth.set_role({alice.username!r}, role='moderator')['role']\n{look_at(movie)}"
    ended = shell(environment(platform), script, COMMANDS[command])
    assert answers(ended) == ["'moderator'", str(movie)]


def test_it_reaches_it_from_another_folder(platform: Platform, tmp_path: Path) -> None:
    movie = sign_up(platform.gateways[0]).api.create_movie()
    assert answers(shell(environment(platform), look_at(movie), cwd=tmp_path)) == [str(movie)]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("movies.get('42')", "Some fields are not valid: movie_id must be a whole number"),
        ("movies.get(2**62)", "Movie not found"),
        ("auth.set_role('alice', 'king')", "role must be 'user', 'moderator' or 'admin'"),
        ("movies.get()", "missing a required argument: 'movie_id'"),
        ("movies.nothing()", "nothing"),
        ("nobody.nothing()", "Unknown service `nobody`"),
        ("movies.get(float('nan'))", "A call must be JSON"),
    ],
)
def test_it_says_what_is_wrong_with_a_call(platform: Platform, call: str, said: str) -> None:
    ended = shell(environment(platform), f"n.rpc.{call}\n")
    assert ended.returncode == 1
    assert said in ended.stderr.splitlines()[-1]
    assert ended.stderr.count("Traceback") == 1


def test_an_event_by_hand_is_announced(platform: Platform) -> None:
    assert shell(environment(platform), "n.dispatch_event('movies', 'planned', {'at': 1})\n").returncode == 0


# --- where there is no platform


@pytest.mark.parametrize(
    ("settings", "arguments", "said"),
    [
        ({"DATA_FOLDER": "/nowhere/at/all"}, [], "No platform runs on DATA_FOLDER"),
        (
            {"AMQP_URI": "amqp://guest:a-secret@127.0.0.1:1//"},
            [],
            "the broker cannot be reached (Connection refused)",
        ),
        ({"AMQP_URI": "nonsense"}, [], "AMQP_URI"),
        ({"AMQP_URI": "https://a-secret@example.com"}, [], "AMQP_URI"),
        ({}, ["--broker", "amqp://guest:a-secret@127.0.0.1:1//"], "the broker cannot be reached"),
        ({}, ["--config", "nowhere.yaml"], "nowhere.yaml: cannot be read (No such file or directory)"),
        ({"GATEWAY_PORT": "eighty"}, [], "setting GATEWAY_PORT"),
    ],
)
def test_what_is_missing_is_one_line(
    tmp_path: Path, settings: dict[str, str], arguments: list[str], said: str
) -> None:
    alone = {"AMQP_URI": "memory://", "DATA_FOLDER": str(tmp_path), **settings}
    ended = shell(alone, "", [*COMMANDS["python -m broker.shell"], *arguments], cwd=tmp_path)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "a-secret" not in ended.stderr


# --- what is given up


@contextmanager
def at_the_prompt(platform_environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A shell that goes on after an exception."""
    process = subprocess.Popen(
        [sys.executable, "-c", FORGIVING],
        cwd=ROOT,
        env={**os.environ, **platform_environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def stopped(deployment: FullDeployment, service: str) -> Iterator[None]:
    """The platform without a service, for the length of a `with`; it is back at its end."""
    parts = [part for part in deployment.parts if part.startswith(f"{service}-")]
    for part in parts:
        deployment.process(part).terminate()
    try:
        assert {deployment.process(part).stop() for part in parts} == {0}
        yield
    finally:
        for part in parts:
            deployment.start_part(part)
        status = f"/api/{service}/status"
        api = Api(deployment.gateways[0])
        wait_until(lambda: api.get(status).status_code == 200, BACK_SECONDS, f"{service} is back")


@contextmanager
def hoarded(deployment: FullDeployment, queue: str) -> Iterator[None]:
    """Somebody consumes the queue and does nothing with what comes, which goes back at the end."""
    with kombu.Connection(deployment.servers.amqp) as connection:
        connection.default_channel.basic_consume(queue)
        yield


def is_there(deployment: FullDeployment, title: str) -> bool:
    found = Api(deployment.gateways[0]).get("/api/movies/search", params={"title": title})
    return found.json()["data"] != []


def test_what_is_given_up_is_not_done(full_deployment: FullDeployment) -> None:
    unsent, given_up = (f"Never {uuid.uuid4().hex}" for _ in range(2))
    with stopped(full_deployment, "movies"):
        began = time.monotonic()
        ended = shell(full_deployment.environment, create(unsent))
        assert "movies is not running; nothing was done" in ended.stderr.splitlines()[-1]
        assert time.monotonic() - began < SOON_SECONDS
        with hoarded(full_deployment, "rpc-movies"), at_the_prompt(full_deployment.environment) as prompt:
            assert prompt.stdin
            prompt.stdin.write("n.timeout = 3; import threading\n")
            prompt.stdin.write("threading.Timer(1, print, ['one second later'], {'flush': True}).start()\n")
            prompt.stdin.write(create(given_up))
            prompt.stdin.flush()
            said_by(prompt, "one second later")
            prompt.send_signal(signal.SIGINT)
            said_by(prompt, "Giving up:")
            assert "what was not begun by now is not done any more" in said_by(prompt, "DeadlineExceeded")
    assert not is_there(full_deployment, unsent)
    assert not is_there(full_deployment, given_up)


def create(title: str) -> str:
    return f"n.rpc.movies.create({{'title': {title!r}}}, {ACTOR})\n"


def said_by(prompt: subprocess.Popen[str], words: str) -> str:
    """The next line that it prints with these words."""
    assert prompt.stdout
    line = prompt.stdout.readline()
    while words not in line:
        assert line, f"it ends without {words}"
        line = prompt.stdout.readline()
    return line


# --- the socket of a platform that is one process


def test_the_way_in_is_its_users_alone(embedded: Embedded) -> None:
    status = (embedded.folder / "data" / local_socket.NAME).stat()
    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_uid == os.geteuid()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"nonsense",
        b"\xff\x00",
        b'{"method": "auth.set_role"}',
        b'{"method": "auth", "args": [], "kwargs": {}, "seconds": 1}',
        b'{"method": "auth.status", "args": {}, "kwargs": {}, "seconds": 1}',
        b'{"method": "auth.status", "args": [], "kwargs": {}, "seconds": "1"}',
        b'{"method": "auth.status", "args": [], "kwargs": {}, "seconds": 1e9}',
        b'{"source": "a b", "type": "x", "data": 1}',
        b'{"source": "movies", "type": "\\u0000", "data": 1}',
    ],
)
def test_what_is_no_call_is_answered_so(embedded: Embedded, line: bytes) -> None:
    error = asked(embedded, line + b"\n")["error"]
    assert error["exc_type"] == "Invalid"


def test_more_than_a_call_may_have_is_hung_up_on_and_others_are_answered(embedded: Embedded) -> None:
    with pytest.raises((ConnectionError, AssertionError)):
        asked(embedded, b"x" * (MOST_CALL_BYTES + 2**20))
    well = b'{"method": "auth.status", "args": [], "kwargs": {}, "seconds": 5}\n'
    silent = [connected(embedded) for _ in range(5)]
    assert asked(embedded, well)["result"]["status"] == "OK"
    for each in silent:
        each.close()


def connected(embedded: Embedded) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(RUN_SECONDS)
    with local_socket.address(embedded.folder / "data") as address:
        connection.connect(address)
    return connection


def asked(embedded: Embedded, line: bytes) -> Any:
    answer = bytearray()
    with connected(embedded) as connection:
        connection.sendall(line)
        while part := connection.recv(2**16):
            answer += part
    assert answer
    return json.loads(answer)


def test_a_platform_at_a_long_path_that_was_killed_before_has_its_way_in(tmp_path: Path) -> None:
    folder = tmp_path / ("long " * 40)
    folder.mkdir()
    platform = Embedded(folder)
    platform.start()
    assert platform.process
    platform.process.signal(signal.SIGKILL)
    platform.process.wait()
    ended = shell(platform.environment)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    with running(platform):
        assert answers(shell(platform.environment, look_at(42))) == ["42"]
    assert not (folder / "data" / local_socket.NAME).exists()


# --- the program of Nameko's


def test_setup_makes_the_shell_of_namekos_program_ours_and_leaves_the_rest(tmp_path: Path) -> None:
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    shutil.copy(PROGRAMS / "nameko", programs)
    (tmp_path / "nothing.lock").touch()
    setup = ["sh", str(ROOT / "setup.sh"), str(tmp_path / ".venv"), str(tmp_path / "nothing.lock")]
    base = {"PYTHON": str(Path(sys.base_prefix) / "bin" / "python3"), "PYTHONWARNINGS": "ignore"}
    for _ in range(2):  # the second time there is nothing to do
        ended = shell(base, "", setup, tmp_path)
        assert ended.returncode == 0, ended.stderr
    program, alone = [str(programs / "nameko")], {**base, "PYTHONPATH": ""}
    assert "2.14.1" in shell(alone, "", [*program, "--version"], tmp_path).stdout, "there is no broker here"
    (tmp_path / "broker").symlink_to(ROOT / "broker")
    assert "2.14.1" in shell(alone, "", [*program, "--version"], tmp_path).stdout
    ended = shell(alone, "", [*program, "shell", "--config", "nowhere.yaml"], tmp_path)
    assert (ended.returncode, ended.stderr) == (
        2,
        "nowhere.yaml: cannot be read (No such file or directory)\n",
    )
