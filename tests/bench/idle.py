"""What the platform takes while nobody asks for anything.

`python -m tests.bench.idle` starts the embedded default, as `make run` does, waits until it has settled, and
reads for 30 s in /proc what its process (and its PostgreSQL) takes of a core, and how often a thread of it
wakes up. With `--full` it does the same for every part of the full deployment.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench.usage import cpu_seconds
from tests.platforms import Embedded, FullDeployment, running
from tests.processes import Process
from tests.servers import PrivateServers

SETTLING_SECONDS = 10


@dataclass(frozen=True)
class Usage:
    """What processes have taken so far: seconds of CPU, and how often they have begun to wait."""

    cpu: float
    waits: int

    @classmethod
    def of(cls, pids: list[int]) -> Usage:
        return cls(sum(map(cpu_seconds, pids)), sum(map(_waits, pids)))


def _waits(pid: int) -> int:
    """How often the threads of a process have begun to wait for something: each is a waking later."""
    statuses = (task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/status"))
    return sum(int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in statuses)


def measure(processes: list[Process], seconds: float) -> None:
    """Print what each process takes, and what its children do, while nothing is asked of them."""
    time.sleep(SETTLING_SECONDS)
    groups: dict[str, list[int]] = {}
    for process in processes:
        groups[process.name] = [process.pid]
        if children := psutil.Process(process.pid).children(recursive=True):
            groups[f"{process.name}'s children"] = [child.pid for child in children]
    before = {name: Usage.of(pids) for name, pids in groups.items()}
    time.sleep(seconds)
    for name, pids in groups.items():
        after = Usage.of(pids)
        share, wakings = (
            (after.cpu - before[name].cpu) / seconds,
            (after.waits - before[name].waits) / seconds,
        )
        print(f"{name}: {share:.2%} of a core, {wakings:.0f} wakings a second")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.idle", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="(%(default)g)")
    parser.add_argument("--full", action="store_true", help="the full deployment instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.full:
            with PrivateServers() as servers:
                deployment = FullDeployment(servers.urls, Path(folder))
                with running(deployment):
                    measure(deployment.processes, options.seconds)
        else:
            platform = Embedded(Path(folder))
            with running(platform):
                assert platform.process
                measure([platform.process], options.seconds)


if __name__ == "__main__":
    main()
