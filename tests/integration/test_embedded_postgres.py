"""The keeper of the embedded PostgreSQL: whose server it believes in, ends and joins, whatever was before."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from broker.config import ConfigurationError
from broker.embedded_postgres import (
    EmbeddedPostgres,
    Lost,
    account,
    pid_file,
    programs,
    server,
    supervisor,
)
from tests.integration.earlier_release import engine_on
from tests.processes import Process, wait_until

EXTENSIONS = ("pg_trgm", "unaccent", "btree_gin", "pg_stat_statements", "vector")
# A start in a process of its own, which waits to be killed. With "alone" nothing ends the server then, as
# where there is no PR_SET_PDEATHSIG.
START = """
import sys, time
from pathlib import Path
from broker.embedded_postgres import EmbeddedPostgres, programs
if "alone" in sys.argv:
    programs._dies_with_us = lambda number: None
with EmbeddedPostgres(Path(sys.argv[1]), owner=True, connections=10) as postgres:
    print(postgres.ensure_database("auth"), flush=True)
    time.sleep(60)
"""
ASK = """
import sys
from sqlalchemy import create_engine, text
create_engine(sys.argv[1]).connect().execute(text(sys.argv[2]))
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def opened(data: Path, *, owner: bool = True) -> EmbeddedPostgres:
    return EmbeddedPostgres(data, owner=owner, connections=10)


def answer(postgres: EmbeddedPostgres, question: str) -> object:
    with engine_on(postgres.url("postgres")) as connection:
        return connection.scalar(text(question))


def made(data: Path) -> Path:
    """A cluster whose server was stopped."""
    with opened(data):
        pass
    return data / "postgres-18"


def pid_of(data: Path) -> int:
    return int((data / "postgres-18" / "postmaster.pid").read_text().splitlines()[0])


def refusal(data: Path, *, owner: bool = True) -> str:
    """The one line by which a start is refused."""
    with pytest.raises(ConfigurationError) as refused, opened(data, owner=owner):
        pass
    assert "\n" not in str(refused.value)
    return str(refused.value)


def has_ended(process: psutil.Process) -> bool:
    """In a container without an init nobody may ever collect it."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@contextmanager
def started(data: Path, *how: str) -> Iterator[Process]:
    process = Process("start", [sys.executable, "-c", START, data, *how], {}, data.parent)
    try:
        wait_until(lambda: "host=" in process.log.read_text(), 30, "the server is started")
        yield process
    finally:
        process.end()


@contextmanager
def somebody(program: Path, user: int) -> Iterator[psutil.Process]:
    """A program that is no server, run by the same user as the server."""
    others = {"user": user, "group": user} if os.geteuid() == 0 else {}
    with subprocess.Popen([program, "600"], cwd="/", **others) as process:  # type: ignore[call-overload]
        try:
            yield psutil.Process(process.pid)
        finally:
            process.kill()


def test_it_has_the_extensions_that_search_needs(data: Path) -> None:
    with opened(data) as postgres:
        for name in EXTENSIONS:
            with engine_on(postgres.ensure_database("movies")) as connection:
                connection.execute(text(f"CREATE EXTENSION {name}"))
        assert (
            answer(postgres, "SELECT DISTINCT concat(datlocprovider, datlocale) FROM pg_database")
            == "bC.UTF-8"
        )


def test_nobody_else_reaches_it(data: Path) -> None:
    with opened(data) as postgres:
        folder = Path(str(answer(postgres, "SHOW unix_socket_directories")))
        assert folder.stat().st_mode & 0o777 == 0o700
        assert folder.stat().st_uid == (data / "postgres-18").stat().st_uid
        assert answer(postgres, "SHOW listen_addresses") == ""
    assert not folder.exists()


def test_what_somebody_put_in_the_sockets_place_is_not_used(data: Path, tmp_path: Path) -> None:
    with opened(data) as postgres:
        usual = Path(str(answer(postgres, "SHOW unix_socket_directories")))
    trap = tmp_path / "trap"
    trap.mkdir()
    usual.symlink_to(trap)
    try:
        with opened(data) as postgres:
            assert answer(postgres, "SHOW unix_socket_directories") != str(usual)
        assert list(trap.iterdir()) == []
    finally:
        usual.unlink()


def name_in_pid_file(cluster: Path, pid: int) -> None:
    """As a server left it that was on this folder."""
    lines = [pid, cluster, 1700000000, 5432, "/tmp", "", "  2171875        18", "ready   "]
    (cluster / "postmaster.pid").write_text("".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize("whose", ["ours", "our child's", "the first one's"])
def test_a_pid_of_ours_or_of_the_first_process_is_left_alone(data: Path, whose: str) -> None:
    cluster = made(data)
    with subprocess.Popen(["sleep", "600"], cwd=cluster) as child:
        try:
            pid = {"ours": os.getpid(), "our child's": child.pid, "the first one's": 1}[whose]
            name_in_pid_file(cluster, pid)
            with opened(data) as postgres:
                assert answer(postgres, "SELECT 1") == 1
            assert child.poll() is None
        finally:
            child.kill()


@pytest.mark.parametrize("kind", ["a pipe", "a link to nowhere", "somebody else's", "long"])
def test_a_pid_file_that_is_none_keeps_nobody_from_starting(data: Path, kind: str) -> None:
    cluster = made(data)
    path = cluster / "postmaster.pid"
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a link to nowhere":
        path.symlink_to("/nowhere/at/all")
    else:
        path.write_bytes(b"2147483646\n" * (10**6 if kind == "long" else 1))
        path.chmod(0o600)
    with opened(data) as postgres:
        assert answer(postgres, "SELECT 1") == 1


@pytest.mark.parametrize("name", ["sleep", "postgres"])
def test_a_pid_that_is_somebody_elses_by_now_is_left_alone(data: Path, tmp_path: Path, name: str) -> None:
    cluster = made(data)
    program = tmp_path / name
    shutil.copy(str(shutil.which("sleep")), program)
    user = cluster.stat().st_uid
    account.let_in(account.Account(user, user), program)
    with somebody(program, user) as process:
        wait_until(lambda: process.name() == name, 5, "it runs")
        name_in_pid_file(cluster, process.pid)
        for owner in (False, True):
            with opened(data, owner=owner) as postgres:
                assert answer(postgres, "SELECT 1") == 1
            assert process.is_running()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"\0" * 40,
        b"no number\n",
        b"-1\n",
        b"99999999999999999999\n",
        b"1",
        b"2147483646\n/somewhere",
    ],
)
def test_a_pid_file_that_was_cut_off_keeps_nobody_from_starting(data: Path, content: bytes) -> None:
    (made(data) / "postmaster.pid").write_bytes(content)
    with opened(data) as postgres:
        assert answer(postgres, "SELECT 1") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start ends it: see below")
def test_the_server_ends_with_the_process_that_started_it(data: Path) -> None:
    with started(data) as process:
        postmaster = psutil.Process(pid_of(data))
        process.signal(signal.SIGKILL)
        process.wait()
        wait_until(lambda: has_ended(postmaster), 10, "the server ends")


def test_a_server_that_was_left_behind_is_ended_and_its_data_are_there(data: Path) -> None:
    with started(data, "alone") as process:
        left = psutil.Process(pid_of(data))
        process.signal(signal.SIGKILL)
        process.wait()
    assert left.is_running()
    with opened(data) as postgres:
        assert has_ended(left)
        assert answer(postgres, "SELECT count(*) FROM pg_database WHERE datname = 'auth'") == 1


def test_a_server_that_was_killed_is_started_again(data: Path) -> None:
    with started(data, "alone") as process:
        os.kill(pid_of(data), signal.SIGKILL)
        process.signal(signal.SIGKILL)
        process.wait()
        with opened(data) as postgres:
            assert answer(postgres, "SELECT count(*) FROM pg_database WHERE datname = 'auth'") == 1


@pytest.mark.parametrize("file", ["PG_VERSION", "global/pg_control", "base/1/2619", "base/5"])
def test_killed_in_its_first_making_it_is_made_again(data: Path, file: str) -> None:
    process = Process("start", [sys.executable, "-c", START, data], {}, data.parent)
    wait_until((data / "postgres-18.unfinished" / file).exists, 30, f"{file} is there")
    process.end()
    with opened(data) as postgres:
        assert answer(postgres, "SELECT 1") == 1
    assert not (data / "postgres-18.unfinished").exists()


def test_what_a_killed_postmaster_left_is_ended_too(data: Path) -> None:
    """A backend in the middle of a long question notices nothing of its end."""
    with started(data, "alone") as process:
        question = "SELECT pg_backend_pid(), count(*) FROM generate_series(1, 1000000000)"
        url = process.log.read_text().splitlines()[-1]
        command = [sys.executable, "-c", ASK, url, question]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as asking:
            wait_until(lambda: bool(at_work(data)), 30, "it is at work")
            (busy,) = at_work(data)
            os.kill(pid_of(data), signal.SIGKILL)
            process.signal(signal.SIGKILL)
            process.wait()
            with opened(data) as postgres:
                assert has_ended(busy)
                assert answer(postgres, "SELECT 1") == 1
            assert asking.wait(20) != 0


def at_work(data: Path) -> list[psutil.Process]:
    """The backends that somebody's question keeps busy."""
    family = psutil.Process(pid_of(data)).children()
    return [each for each in family if "SELECT" in " ".join(each.cmdline())]


def test_an_empty_folder_is_as_good_as_none(data: Path) -> None:
    (data / "postgres-18").mkdir()
    with opened(data) as postgres:
        assert answer(postgres, "SELECT 1") == 1


@pytest.mark.parametrize("name", ["PG_VERSION", "global/pg_control"])
def test_a_folder_that_is_not_whole_is_named_and_left_as_it_is(data: Path, name: str) -> None:
    cluster = made(data)
    (cluster / name).unlink()
    before = sorted(cluster.rglob("*"))
    assert f"{cluster}: is not whole ({name} is not there)" in refusal(data)
    assert sorted(cluster.rglob("*")) == before


@pytest.mark.parametrize("holds", ["base/16384", "a letter"])
def test_a_half_made_folder_that_holds_something_is_named_and_kept(data: Path, holds: str) -> None:
    something = data / "postgres-18.unfinished" / holds
    something.mkdir(parents=True)
    assert "was left half made, and holds what is not made again" in refusal(data)
    assert something.exists()


def test_a_copy_of_hard_links_is_refused_since_it_is_no_other_one(data: Path, tmp_path: Path) -> None:
    made(data)
    subprocess.run(["cp", "-al", data, tmp_path / "copy"], check=True)
    for each in (tmp_path / "copy", data):
        assert "its files are those of another folder, too (hard links)" in refusal(each)


def test_one_that_cannot_be_kept_alive_is_lost_with_a_line(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "PAUSES", (0.0, 0.0))
    with opened(data) as postgres:
        os.kill(pid_of(data), signal.SIGKILL)
        (data / "postgres-18" / "global" / "pg_control").write_bytes(b"nonsense" * 1024)
        with pytest.raises(Lost, match="PostgreSQL is gone and was started again 2 times in vain: ") as lost:
            postgres.supervise()
    assert "\n" not in str(lost.value)


def test_a_second_terminal_joins_it_and_leaves_it_running(data: Path) -> None:
    since = "SELECT pg_postmaster_start_time()::text"
    with opened(data) as postgres:
        begin = answer(postgres, since)
        with opened(data, owner=False) as joined:
            assert answer(joined, since) == begin
        assert answer(postgres, since) == begin


def test_a_second_terminal_starts_it_where_nothing_runs(data: Path) -> None:
    for folder in (data / "nowhere", data):
        assert "start the platform once" in refusal(folder, owner=False)
    made(data)
    with opened(data, owner=False) as postgres:
        assert answer(postgres, "SELECT 1") == 1
        with opened(data, owner=False) as joined:
            assert answer(joined, "SELECT 1") == 1


def test_a_copy_made_while_it_runs_is_another_one(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    with opened(data) as original:
        original.ensure_database("auth")
        subprocess.run(["cp", "-a", data, copy], check=True)
        capsys.readouterr()
        for owner in (False, True):
            with opened(copy, owner=owner) as other:
                other.ensure_database(f"only_there_{owner}".lower())
                assert answer(other, "SHOW data_directory") == str(copy / "postgres-18")
                assert answer(other, "SELECT count(*) FROM pg_database WHERE datname = 'auth'") == 1
        assert answer(original, "SELECT count(*) FROM pg_database WHERE datname LIKE 'only%'") == 0
    assert (
        f"was copied or moved from {data / 'postgres-18'} while a server ran there" in capsys.readouterr().err
    )
    with opened(data) as original:
        assert answer(original, "SELECT count(*) FROM pg_database WHERE datname LIKE 'only%'") == 0


def test_a_server_that_somebody_started_by_hand_is_named_and_left_alone(data: Path, tmp_path: Path) -> None:
    cluster = made(data)
    owner = account.of(cluster)
    with (tmp_path / "log").open("wb") as log:
        words = ("-D", cluster, "-c", "listen_addresses=", "-c", "unix_socket_directories=.")
        by_hand = programs.spawn(programs.installation() / "bin/postgres", *words, account=owner, output=log)
    try:
        wait_until(lambda: pid_file.postmaster(cluster) is not None, 10, "it runs")
        assert f"(process {by_hand.pid}); stop that first" in refusal(data)
        assert by_hand.poll() is None
    finally:
        by_hand.send_signal(signal.SIGINT)
        by_hand.wait(10)


def test_why_it_does_not_start_is_said_in_its_own_last_words(data: Path) -> None:
    (made(data) / "global" / "pg_control").write_bytes(b"nonsense" * 1024)
    assert "PostgreSQL did not start on" in refusal(data)
    assert "database files are incompatible" in (data / "postgres.log").read_text()


def test_it_waits_for_a_start_within_bounds(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = made(data)
    monkeypatch.setattr(server, "START_SECONDS", -1)
    assert "within -1 s: " in refusal(data)
    assert pid_file.postmaster(cluster) is None, "what was started is stopped"


def test_a_log_that_has_grown_makes_room(data: Path) -> None:
    made(data)
    (data / "postgres.log").write_bytes(b"x" * (server.LOG_BYTES + 1))
    made(data)
    assert (data / "postgres.log").stat().st_size < 10_000
    assert (data / "postgres.log.old").stat().st_size == server.LOG_BYTES + 1
