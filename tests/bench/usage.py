"""What a process costs, read in /proc: CPU, memory, connections."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Self

PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.1
ESTABLISHED = "01"


def cpu_seconds(pid: int) -> float:
    """Seconds that all threads which the process still has were on a CPU, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def rss_kib(pid: int) -> int:
    """KiB of memory that are the process's own or shared, and resident."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KIB


def busy_seconds() -> float:
    """Seconds that all CPUs together have worked since the machine started."""
    first = Path("/proc/stat").read_text().split("\n", 1)[0]
    user, nice, system, _idle, _iowait, *interrupts = map(int, first.split()[1:8])
    return (user + nice + system + sum(interrupts)) / TICKS


def established(port: int) -> set[int]:
    """The ports of those whose connections a server of 127.0.0.1 on `port` has not closed.

    As the server's side sees it: one who does not read never sees the end, which is behind what he did not
    read.
    """
    server = f"0100007F:{port:04X}"
    found = set()
    with Path("/proc/net/tcp").open() as rows:
        for row in rows:
            _, local, remote, state, *_ = row.split()
            if local == server and state == ESTABLISHED:
                found.add(int(remote.rpartition(":")[2], 16))
    return found


class PeakMemory:
    """Samples a process's RSS while the block runs: `kib` is the most, `growth_kib` that less what it was."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.before_kib = self.kib = rss_kib(pid)

    @property
    def growth_kib(self) -> int:
        return self.kib - self.before_kib

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self.kib = max(self.kib, rss_kib(self._pid))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ended.set()
        self._thread.join()
