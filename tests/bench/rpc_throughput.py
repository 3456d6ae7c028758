"""Requests a second through gateway and service over RabbitMQ: ours, and stock Nameko's default.

`python -m tests.bench.rpc_throughput` runs both by turns on the same private servers, at 16 connections, and
prints each run, the medians and their ratio. `echo` has nothing behind the service: it measures HTTP and RPC.
`movie` is GET /api/movies/{id} of the real gateway and movies, against a stock service with the same query.
The load comes from wrk (Debian's package wrk).
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import requests

from tests.clients import sign_up
from tests.platforms import FullDeployment
from tests.processes import PROGRAMS, free_port, wait_until
from tests.servers import PrivateServers

START_SECONDS = 30


def load(url: str, connections: int, seconds: int) -> float:
    """Requests a second that were answered with 200. RuntimeError where any was not."""
    threads = min(connections, 2)
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", url]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if re.search("Non-2xx|Socket errors", shown):
        raise RuntimeError(shown)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", shown)
    assert rate, shown
    return float(rate[1])


def compare(name: str, urls: Mapping[str, str], runs: int, connections: int, seconds: int) -> None:
    rates: dict[str, list[float]] = {each: [] for each in urls}
    for url in urls.values():
        load(url, connections, 1)  # what is lazy wakes up
    for run in range(runs):
        for each, url in urls.items():
            rates[each].append(load(url, connections, seconds))
        print(f"{name}, run {run + 1}: " + ", ".join(f"{each} {rates[each][-1]:.0f}/s" for each in urls))
    medians = {each: statistics.median(rates[each]) for each in urls}
    ours, stock = medians["ours"], medians["stock"]
    print(
        f"{name}, c={connections}, medians of {runs} runs of {seconds} s: ours {ours:.0f}/s, stock Nameko "
        f"{stock:.0f}/s, ratio {ours / stock:.2f}",
        flush=True,
    )


def start(deployment: FullDeployment) -> dict[str, str]:
    """The base URLs of the extra gateways, by name."""
    ports = {"stock": free_port(), "ours": free_port()}
    nameko = [PROGRAMS / "nameko", "run", "--config"]
    own = [*nameko, "config.yaml"]
    # Its defaults: no settings file of ours.
    stock = deployment.folder / "stock.yaml"
    stock.write_text(f"AMQP_URI: {deployment.servers.amqp}\nWEB_SERVER_ADDRESS: 127.0.0.1:{ports['stock']}\n")
    deployment.start_process("stock-movies", [*nameko, stock, "tests.bench.stock.movies"], {})
    deployment.start_process("stock-gateway", [*nameko, stock, "tests.bench.stock.gateway"], {})
    deployment.start_process("echo-movies", [*own, "tests.bench.echo:EchoMovies"], {})
    deployment.start_process(
        "echo-gateway", [*own, "tests.bench.echo:EchoGateway"], {"GATEWAY_PORT": str(ports["ours"])}
    )
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    for url in urls.values():
        wait_until(lambda url=url: _answers(f"{url}/echo/1"), START_SECONDS, f"{url} answers")  # type: ignore[misc]
    return urls


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=10).status_code == 200
    except requests.RequestException:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rpc_throughput", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs of each, by turns (%(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="length of a run (%(default)s)")
    parser.add_argument("--connections", type=int, default=16, help="(%(default)s)")
    parser.add_argument("--only", choices=("echo", "movie"), help="one of the two comparisons")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is not installed: apt-get install wrk", file=sys.stderr)
        return 2
    measure = (options.runs, options.connections, options.seconds)
    with PrivateServers() as servers, tempfile.TemporaryDirectory() as folder:
        deployment = FullDeployment(servers.urls, Path(folder))
        try:
            deployment.start()
            extra = start(deployment)
            if options.only != "movie":
                compare("echo", {name: f"{url}/echo/1" for name, url in extra.items()}, *measure)
            if options.only != "echo":
                movie = sign_up(deployment.gateways[0]).api.create_movie(description="d" * 300, rating=7)
                urls = {"stock": extra["stock"], "ours": deployment.gateways[0]}
                compare("movie", {name: f"{url}/api/movies/{movie}" for name, url in urls.items()}, *measure)
        finally:
            deployment.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
