"""Requests a second through the gateway, as it is and as it was.

`python -m tests.bench.gateway_throughput --before FOLDER` runs the gateway of this checkout and that of the
one in FOLDER by turns, on the same servers and before the same services, at 16 connections: `/health/live`,
which is HTTP alone, and `/api/movies/{id}`, which is an RPC as well. It prints each round, the medians and
their ratio, and what a request takes of the CPU in the gateway's process, which a busy machine disturbs less.
The load comes from wrk (Debian's package wrk).
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.rpc_throughput import load
from tests.bench.usage import cpu_seconds
from tests.clients import sign_up
from tests.integration.connections import Gateway
from tests.platforms import FullDeployment
from tests.processes import PROGRAMS, ROOT, Process, free_port
from tests.servers import PrivateServers


def start(deployment: FullDeployment, name: str, root: Path) -> Gateway:
    """A gateway of the checkout at `root`, once it serves."""
    port = free_port()
    command = [PROGRAMS / "nameko", "run", "--config", "config.yaml", "gateway.service"]
    environment = {**deployment.environment, "GATEWAY_PORT": str(port), "LOG_LEVEL": "WARNING"}
    process = Process(f"gateway-{name}", command, environment, deployment.folder, root)
    deployment.processes.append(process)
    gateway = Gateway(f"http://127.0.0.1:{port}", process)
    gateway.wait_for("/health/ready")
    return gateway


@dataclass
class Figures:
    """Of each round: requests a second, and microseconds of CPU a request."""

    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def measure(self, gateway: Gateway, path: str, connections: int, seconds: int) -> None:
        before = cpu_seconds(gateway.process.pid)
        rate = load(gateway.url + path, connections, seconds)
        self.rates.append(rate)
        self.costs.append((cpu_seconds(gateway.process.pid) - before) * 1e6 / (rate * seconds))

    def shown(self) -> str:
        return f"{statistics.median(self.rates):.0f}/s and {statistics.median(self.costs):.0f} µs"


def compare(path: str, gateways: Mapping[str, Gateway], rounds: int, connections: int, seconds: int) -> None:
    figures = {name: Figures() for name in gateways}
    for gateway in gateways.values():
        load(gateway.url + path, connections, 1)  # what is lazy wakes up
    for number in range(rounds):
        for name, gateway in gateways.items():
            figures[name].measure(gateway, path, connections, seconds)
        last = ", ".join(
            f"{name} {each.rates[-1]:.0f}/s, {each.costs[-1]:.0f} µs" for name, each in figures.items()
        )
        print(f"{path}, round {number + 1}: {last}")
    medians = ", ".join(f"{name} {each.shown()}" for name, each in figures.items())
    print(f"{path}, c={connections}, medians of {rounds} rounds of {seconds} s: {medians}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gateway_throughput", description=__doc__)
    parser.add_argument("--before", type=Path, help="a checkout of the state to compare with")
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="length of a round (%(default)s)")
    parser.add_argument("--connections", type=int, default=16, help="(%(default)s)")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is not installed: apt-get install wrk", file=sys.stderr)
        return 2
    with PrivateServers() as servers, tempfile.TemporaryDirectory() as folder:
        deployment = FullDeployment(servers.urls, Path(folder))
        try:
            deployment.start()
            movie = sign_up(deployment.gateways[0]).api.create_movie(description="d" * 300, rating=7)
            roots = {"before": options.before, "after": ROOT}
            started = {name: start(deployment, name, root) for name, root in roots.items() if root}
            for path in ("/health/live", f"/api/movies/{movie}"):
                compare(path, started, options.rounds, options.connections, options.seconds)
        finally:
            deployment.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
