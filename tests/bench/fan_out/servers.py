"""The servers of the comparison as processes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import requests

from tests.processes import PROGRAMS, Process, free_port, wait_until

NODE = Path(__file__).resolve().parent.parent / "node"
PYTHON = PROGRAMS / "python"
SERVERS: dict[str, list[str | Path]] = {
    "ours": [PYTHON, "-m", "tests.bench.fan_out.ours"],
    "node": ["node", NODE / "server.mjs"],
    "stock": [PYTHON, "-m", "tests.bench.fan_out.stock"],
}
START_SECONDS = 20
BURST_SECONDS = 120


def install_node_packages() -> None:
    """Into tests/bench/node, the locked versions, unless they are there."""
    if not (NODE / "node_modules" / "socket.io").exists():
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=NODE, check=True)


class BroadcastServer:
    """One of SERVERS, running."""

    def __init__(self, name: str, event_file: Path) -> None:
        self.port = free_port()
        self._url = f"http://127.0.0.1:{self.port}/emit"
        self._session = requests.Session()
        command = [*SERVERS[name], str(self.port), event_file]
        self._process = Process(f"{name}-{self.port}", command, {}, event_file.parent)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self) -> None:
        wait_until(self._answers, START_SECONDS, "the server answers")

    def emit(self, count: int) -> list[tuple[int, int]]:
        """Send `count` events back to back: the number of each, and when it began (time.monotonic_ns())."""
        answer = self._session.get(self._url, params={"n": count}, timeout=BURST_SECONDS)
        answer.raise_for_status()
        began: Any = answer.json()
        return [(number, at) for number, at in began]

    def end(self) -> None:
        self._session.close()
        self._process.end()

    def _answers(self) -> bool:
        self._process.check()
        try:
            return self.emit(0) == []
        except requests.ConnectionError:
            return False
