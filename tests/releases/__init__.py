"""The release before this one, beside it: its source as it was landed, run by this one's packages.

`previous_release.tar.xz` is that release's auth, movies, notifications, gateway, broker, config.yaml and
alembic.ini, by `git archive`; whoever begins a release puts the last one's there.
"""

from __future__ import annotations

import tarfile
from collections.abc import Collection, Mapping
from pathlib import Path

from tests.platforms import FullDeployment
from tests.processes import PROGRAMS, Process
from tests.servers import ServerUrls

ARCHIVE = Path(__file__).with_name("previous_release.tar.xz")
ROLES = ("auth", "movies", "notifications", "gateway")
# The `nameko` of .venv runs this checkout's own; an older release's is Nameko's.
# Without what it needs for `make run` alone, and this release does not.
NAMEKO = """
import sys, types
sys.modules["fakeredis"] = types.ModuleType("fakeredis")
from nameko.cli.main import main
main()
"""


def unpacked(folder: Path) -> Path:
    """The source of the release before, in a folder under `folder`."""
    root = folder / "previous_release"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(root, filter="data")
    return root


class TwoReleases(FullDeployment):
    """A deployment whose parts are of either release: those in `old` (`"movies-0"`) of the one before."""

    def __init__(
        self,
        servers: ServerUrls,
        folder: Path,
        old: Collection[str] = (),
        counts: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(servers, folder, **(counts or {}))
        self.previous = unpacked(folder)
        self.old = set(old)
        self.environment["REVOCATION_REFRESH"] = "2"

    def migrate_as_before(self) -> None:
        """Bring the databases to what the release before needs, by its own migrations."""
        for part in ("auth", "movies"):
            command = [PROGRAMS / "python", "-m", "alembic", "-n", part, "upgrade", "head"]
            ended = Process(f"migrate-{part}", command, self.environment, self.folder, self.previous)
            assert ended.wait(60) == 0, ended.tail()

    def start_process(self, name: str, command: list[str | Path], more: Mapping[str, str]) -> Process:
        if name not in self.old:
            return super().start_process(name, command, more)
        if Path(command[0]).name == "nameko":
            command = [PROGRAMS / "python", "-c", NAMEKO, *command[1:]]
        process = Process(name, command, {**self.environment, **more}, self.folder, self.previous)
        others = [each for each in self.processes if each.name != name or each.is_running()]
        self.processes = [*others, process]
        return process
