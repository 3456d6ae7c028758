"""`make run` starts wherever the checkout and the data lie, whatever the environment says of languages."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients import Api, sign_up
from tests.platforms import Embedded, wait_until_ready
from tests.processes import ROOT, Process, free_port, run

ENVIRONMENTS = (
    {"LANG": "xx_XX.UTF-8"},
    {"LC_ALL": "xx_XX.UTF-8", "LANG": "xx_XX.UTF-8"},
    {"LC_ALL": "no such locale"},
    {"LC_ALL": "C"},
    {"LC_ALL": "POSIX", "LANG": ""},
    {"LC_ALL": "tr_TR.UTF-8"},
    {"LC_CTYPE": "tr_TR.ISO-8859-9", "LANG": "ja_JP.eucJP"},
    {"TZ": "Nowhere/Land"},
    {"PGDATA": "/nowhere", "PGHOST": "nowhere", "PGUSER": "nobody", "PGDATABASE": "none", "PGPORT": "1"},
)
FOLDERS = (
    "a blank",
    " at its ends ",
    "quote'd",
    'double "d"',
    "what?",
    "100%",
    "%(here)s %s %%",
    "ünïcode 映画 🎬",
    "comma,semi;colon:",
    "$HOME ${HOME} `id`",
    "back\\slash",
    "a line\nand\ta tab",
    "-D",
    "#[brackets]{}<>&|*",
    "@abstract",
    "deep/" * 30 + "down",
)
# What every start must say of text, in a process that is nothing but the start.
FOLDING = """
import sys
from pathlib import Path
from sqlalchemy import create_engine, text
from broker.embedded_postgres import EmbeddedPostgres
data = Path(sys.argv[1])
data.mkdir(parents=True, exist_ok=True)
with EmbeddedPostgres(data, owner=True, connections=10) as postgres:
    with create_engine(postgres.ensure_database("movies")).connect() as connection:
        asked = "SELECT lower('INCEPTION'), 'É' ILIKE 'é', 'I' ILIKE 'i', 'Z' < 'a'"
        print(*connection.execute(text(asked)).one())
"""
FOLDED = "inception True True True\n"


class Made(Embedded):
    """`make run` in a checkout of its own, its data where they are by default."""

    checkout: Path = ROOT

    def start(self) -> None:
        self.process = Process("make", ["make", "-C", self.checkout, "run"], self.environment, self.folder)
        wait_until_ready(self.gateways, self.notifiers, [self.process])

    def interrupt(self) -> None:
        """As Ctrl-C in a terminal: to everyone in the foreground."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait()


def folding(data: Path, environment: dict[str, str]) -> str:
    ended = run([sys.executable, "-c", FOLDING, data], environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def check_out(folder: Path) -> None:
    """The project's files, and a virtual environment of its own that has PostgreSQL's programs in it."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    installed = Path(pytest.__file__).parent.parent
    site = next((folder / ".venv").glob("lib/python*/site-packages"))
    for package in installed.iterdir():
        if package.name.startswith("embedded_postgres"):
            shutil.copytree(package, site / package.name)
        elif not (site / package.name).exists():
            (site / package.name).symlink_to(package)
    (folder / ".venv" / ".runtime").touch()


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=str)
def test_text_is_compared_alike_in_every_environment(tmp_path: Path, environment: dict[str, str]) -> None:
    assert folding(tmp_path / "data", environment) == FOLDED


@pytest.mark.parametrize("name", FOLDERS, ids=ascii)
def test_the_data_may_lie_under_any_path(tmp_path: Path, name: str) -> None:
    assert folding(tmp_path / name, {}) == FOLDED
    assert (tmp_path / name / "postgres-18" / "PG_VERSION").exists()


@pytest.mark.parametrize("name", ['it\'s a "100%" ?#; $HOME ünï', "%(here)s, `id` \\ &"], ids=ascii)
def test_the_checkout_may_lie_under_any_path(tmp_path: Path, name: str) -> None:
    checkout = tmp_path / name
    check_out(checkout)
    platform = Made(tmp_path)
    platform.checkout = checkout
    platform.environment |= {
        "DATA_FOLDER": "var",
        "LC_ALL": "tr_TR.UTF-8",
        "PGPORT": "1",
        "PGOPTIONS": "-c x",
        "PGTZ": "Nowhere/Land",
        "PGSERVICE": "nobodys",
    }
    platform.start()
    try:
        api = sign_up(platform.gateways[0]).api
        api.create_movie(title="INTERSTELLAR İ")
        found = Api(platform.gateways[0]).get("/api/movies/search?title=interstellar").json()["data"]
        assert "INTERSTELLAR İ" in [movie["title"] for movie in found]
        assert (checkout / "var" / "postgres-18").exists()
    finally:
        platform.interrupt()
    urls = {"AUTH_DATABASE_URL": "", "MOVIES_DATABASE_URL": "postgresql://127.0.0.1:1/none"}
    migrated = run(["make", "-C", checkout, "migrate"], urls)
    assert "setting AUTH_DATABASE_URL is empty" in migrated.stderr, "alembic came as far as the settings"


def test_a_settings_file_and_data_under_odd_paths(tmp_path: Path) -> None:
    settings = tmp_path / "set 'tings' 100%.yaml"
    shutil.copy(ROOT / "config.yaml", settings)
    platform = Made(tmp_path)
    platform.environment |= {
        "CONFIG": str(settings),
        "DATA_FOLDER": str(tmp_path / 'da "ta" %s ünï'),
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    platform.start()
    platform.interrupt()
    assert (tmp_path / 'da "ta" %s ünï' / "postgres-18").exists()


def test_a_folder_that_cannot_be_written_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ports = {"GATEWAY_PORT": str(free_port()), "NOTIFIER_PORT": str(free_port())}
    said = run([sys.executable, "standalone.py"], {**ports, "DATA_FOLDER": str(tmp_path / "file" / "data")})
    assert said.returncode == 2
    assert said.stderr == f"DATA_FOLDER {tmp_path / 'file' / 'data'}: cannot be written (Not a directory)\n"
