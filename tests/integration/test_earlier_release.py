"""What releases with another PostgreSQL left is carried over by the next start, whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from broker.config import ConfigurationError
from broker.embedded_postgres import EmbeddedPostgres
from tests.clients import Api
from tests.integration.earlier_release import REVIEW, EarlierPostgres, contents, engine_on, fill
from tests.platforms import Embedded
from tests.processes import Process, wait_until

NAMES = ("auth", "movies")
# A start of the keeper alone, as another process may be killed in it.
START = """
import sys
from pathlib import Path
from broker.embedded_postgres import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1]), owner=True, connections=10):
    print("started")
"""


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A data folder of an earlier release, first started under LC_ALL=C, cleanly stopped; what is in it."""
    folder = tmp_path_factory.mktemp("earlier")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LC_ALL", "C")
        postgres = EarlierPostgres(folder / "data")
    try:
        held = fill(postgres)
    finally:
        postgres.stop()
    return folder / "data", held


@pytest.fixture
def data(left: tuple[Path, dict[str, object]], tmp_path: Path) -> Path:
    """A copy of it for one test; root's copy keeps whose the files are."""
    copy = tmp_path / "data"
    subprocess.run(["cp", "-a", left[0], copy], check=True)
    return copy


def opened(data: Path, *, owner: bool = True) -> EmbeddedPostgres:
    return EmbeddedPostgres(data, owner=owner, connections=10)


def held_by(data: Path) -> dict[str, object]:
    with opened(data) as postgres:
        return contents({name: postgres.url(name) for name in NAMES})


def test_every_row_and_sequence_comes_along_and_the_old_folder_stays(
    left: tuple[Path, dict[str, object]], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert held_by(data) == left[1]
    said = [line for line in capsys.readouterr().err.splitlines() if not line.endswith("run as root")]
    assert said[0].startswith("carrying over the databases of an earlier release from ")
    assert [line.split(",")[0].strip() for line in said[1:-1]] == ["auth", "movies", "postgres"]
    assert said[-1].endswith(f"{data / 'postgres'} may be deleted")
    # Once: the second start has nothing to say, and nothing more to do.
    assert held_by(data) == left[1]
    assert capsys.readouterr().err == ""
    # The release before this one still starts on it.
    earlier = EarlierPostgres(data)
    try:
        assert contents(earlier.urls) == left[1]
    finally:
        earlier.stop()
    with opened(data):
        pass
    assert "was written to after its data were carried over" in capsys.readouterr().err


def test_the_databases_fold_case_alike_wherever_they_were_made(data: Path) -> None:
    folding = text("SELECT lower('İI'), 'É' ILIKE 'é', lower('ΑΣ')")
    with opened(data) as postgres:
        for name in NAMES:
            with engine_on(postgres.url(name)) as connection:
                assert tuple(connection.execute(folding).one()) == ("ii", True, "ασ")


def test_a_server_that_the_earlier_release_left_running_is_ended_first(
    left: tuple[Path, dict[str, object]], data: Path
) -> None:
    earlier = EarlierPostgres(data)
    process = earlier.process
    assert held_by(data) == left[1]
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_what_a_power_cut_left_is_carried_over(left: tuple[Path, dict[str, object]], data: Path) -> None:
    earlier = EarlierPostgres(data)
    with engine_on(earlier.url("movies")) as connection:
        connection.execute(text("CREATE TABLE late AS SELECT 'the last word'::text AS word"))
    earlier.leave()
    held = held_by(data)
    assert held.pop("movies.late") == ['("the last word")']
    assert held == left[1]


def test_the_platform_goes_on_where_the_earlier_one_stopped(data: Path) -> None:
    platform = Embedded(data.parent)
    platform.start()
    try:
        reviews = Api(platform.gateways[0]).get("/api/movies/42/reviews").json()["data"]
        assert [review["title"] for review in reviews] == [REVIEW]
    finally:
        assert platform.stop() == 0


@pytest.mark.parametrize("moment", range(6))
def test_killed_in_the_middle_it_is_done_again(
    left: tuple[Path, dict[str, object]], data: Path, moment: int
) -> None:
    """At moments from the first file to the last, by what is to be seen in the folder."""
    unfinished = data / "postgres-18.unfinished"
    seen = (
        unfinished / "PG_VERSION",
        unfinished / "base" / "5",
        unfinished / "postmaster.pid",
        unfinished / "auth.dump",
        unfinished / "movies.dump",
        unfinished / "carried-over",
    )[moment]
    process = Process("start", [sys.executable, "-c", START, data], {}, data.parent)
    wait_until(lambda: seen.exists() or not process.is_running(), 30, f"{seen.name} is there")
    process.signal(signal.SIGKILL)
    process.wait()
    assert held_by(data) == left[1]
    assert not unfinished.exists()


def test_what_cannot_be_read_is_said_in_one_line_and_nothing_changes(data: Path) -> None:
    control = data / "postgres" / "global" / "pg_control"
    kept = control.read_bytes()
    control.write_bytes(b"nonsense" * 1024)
    with (
        pytest.raises(ConfigurationError, match="could not be carried over, and is as it was") as refused,
        opened(data),
    ):
        pass
    assert "\n" not in str(refused.value)
    assert not (data / "postgres-18").exists()
    control.write_bytes(kept)
    with opened(data):
        pass


def test_data_of_another_version_are_said_in_one_line(data: Path) -> None:
    (data / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(ConfigurationError, match="data of PostgreSQL 16, and this release reads those of 18"):
        opened(data).__enter__()
    assert not (data / "postgres-18").exists()


@pytest.mark.parametrize("kept", [(), ("PG_VERSION",), ("PG_VERSION", "base/1", "global")])
def test_one_that_was_killed_in_its_first_making_holds_nothing(tmp_path: Path, kept: tuple[str, ...]) -> None:
    old = tmp_path / "data" / "postgres"
    old.mkdir(parents=True)
    for name in kept:
        (old / name).mkdir(parents=True) if "/" in name or name == "global" else (old / name).write_text(
            "18\n"
        )
    with opened(tmp_path / "data") as postgres:
        assert postgres.ensure_database("auth")


def test_set_role_carries_nothing_over(data: Path) -> None:
    with pytest.raises(ConfigurationError, match="start the platform once"), opened(data, owner=False):
        pass
    assert not (data / "postgres-18").exists()
