"""Requests a second through the gateway, as it is and as it was.

`python -m tests.bench.gateway_throughput --before FOLDER` runs the gateway of this checkout and that of another
one by turns, on the same servers and before the same services, at 16 connections: `/health/live`, which is HTTP
alone, and `/api/movies/{id}`, which is an RPC as well. It prints each round, the medians and their ratio. The
load comes from wrk (Debian's package wrk).
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.bench.rpc_throughput import load
from tests.clients import sign_up
from tests.integration.connections import Gateway
from tests.platforms import FullDeployment
from tests.processes import PROGRAMS, ROOT, Process, free_port
from tests.servers import PrivateServers


def start(deployment: FullDeployment, name: str, root: Path) -> str:
    """The base URL of a gateway of the checkout at `root`, once it serves."""
    port = free_port()
    command = [PROGRAMS / "nameko", "run", "--config", "config.yaml", "gateway.service"]
    environment = {**deployment.environment, "GATEWAY_PORT": str(port), "LOG_LEVEL": "WARNING"}
    process = Process(f"gateway-{name}", command, environment, deployment.folder, root)
    deployment.processes.append(process)
    gateway = Gateway(f"http://127.0.0.1:{port}", process)
    gateway.wait_for("/health/ready")
    return gateway.url


def compare(path: str, urls: Mapping[str, str], rounds: int, connections: int, seconds: int) -> None:
    rates: dict[str, list[float]] = {name: [] for name in urls}
    for url in urls.values():
        load(url + path, connections, 1)  # what is lazy wakes up
    for number in range(rounds):
        for name, url in urls.items():
            rates[name].append(load(url + path, connections, seconds))
        print(f"{path}, round {number + 1}: " + ", ".join(f"{name} {rates[name][-1]:.0f}/s" for name in urls))
    medians = {name: statistics.median(rates[name]) for name in urls}
    shown = ", ".join(f"{name} {median:.0f}/s" for name, median in medians.items())
    ratio = medians["after"] / medians.get("before", medians["after"])
    print(
        f"{path}, c={connections}, medians of {rounds} rounds of {seconds} s: {shown}, ratio {ratio:.2f}",
        flush=True,
    )


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
            urls = {name: start(deployment, name, root) for name, root in roots.items() if root}
            for path in ("/health/live", f"/api/movies/{movie}"):
                compare(path, urls, options.rounds, options.connections, options.seconds)
        finally:
            deployment.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
