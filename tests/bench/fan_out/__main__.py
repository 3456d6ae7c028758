"""How fast a room of WebSockets hears a broadcast: our server, Node's socket.io, stock python-socketio.

`python -m tests.bench.fan_out --sizes 500,2000 --runs 5` starts each server in turn, a fresh process each
time, and turns their order from run to run. In each run some broadcasts are paced (each is sent once the one
before has reached every client), and some come in bursts of 50 back to back. Printed for each size:
deliveries a second in a burst, from the first emit to the last receipt (median of all bursts, the least and
the most); milliseconds from a paced emit to the last client; what a client costs the server in KiB, and a
million deliveries of a burst in seconds of CPU; and how many cores anything else used meanwhile, at most,
which should be next to none. Then the ratios, of the medians and of the runs one by one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.fan_out.event import event
from tests.bench.fan_out.servers import SERVERS, BroadcastServer, install_node_packages
from tests.bench.figures import percentile
from tests.bench.listeners import Listeners, Receipt, compile_listeners
from tests.bench.usage import busy_seconds, cpu_seconds, rss_kib

CONNECT_SECONDS = 60
HEAR_SECONDS = 60
WARM_UP = 3
PAUSE_SECONDS = 0.01  # between paced broadcasts
SETTLE_SECONDS = 0.5


@dataclass
class Figures:
    """Of one server and size; a list has one entry a run, or as many as there are bursts or broadcasts."""

    rates: list[float] = field(default_factory=list)  # deliveries a second, of each burst
    run_rates: list[float] = field(default_factory=list)  # the medians of the runs
    last_ms: list[float] = field(default_factory=list)  # of each paced broadcast
    run_last_ms: list[float] = field(default_factory=list)
    kib_a_client: list[float] = field(default_factory=list)
    cpu_a_million: list[float] = field(default_factory=list)
    foreign_cores: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Load:
    paced: int
    burst: int
    bursts: int


def broadcast(server: BroadcastServer, listeners: Listeners, count: int) -> tuple[list[int], list[Receipt]]:
    """When each of `count` events was sent, and heard."""
    began = server.emit(count)
    receipts = listeners.wait_heard((number for number, _ in began), HEAR_SECONDS)
    return [at for _, at in began], receipts


def measure(name: str, clients: int, load: Load, program: Path, event_file: Path, figures: Figures) -> None:
    """One run of one server."""
    server = BroadcastServer(name, event_file)
    try:
        server.wait_ready()
        idle_kib = rss_kib(server.pid)
        with Listeners(program, server.port, clients) as listeners:
            listeners.wait_ready(CONNECT_SECONDS)
            time.sleep(SETTLE_SECONDS)
            broadcast(server, listeners, WARM_UP)
            watch = ForeignLoad(server.pid, listeners.pid)
            last_ms = [paced(server, listeners) for _ in range(load.paced)]
            cpu = cpu_seconds(server.pid)
            rates = [clients * load.burst / burst(server, listeners, load.burst) for _ in range(load.bursts)]
            cpu = cpu_seconds(server.pid) - cpu
            figures.foreign_cores.append(watch.cores())
            figures.kib_a_client.append((rss_kib(server.pid) - idle_kib) / clients)
            heard = listeners.finish()
            assert heard.flawless, heard
    finally:
        server.end()
    figures.last_ms += last_ms
    figures.run_last_ms.append(statistics.median(last_ms))
    figures.rates += rates
    figures.run_rates.append(statistics.median(rates))
    figures.cpu_a_million.append(cpu / (clients * load.burst * load.bursts) * 1e6)


def paced(server: BroadcastServer, listeners: Listeners) -> float:
    """Milliseconds from one emit to the last client."""
    time.sleep(PAUSE_SECONDS)
    [began], [receipt] = broadcast(server, listeners, 1)
    return (receipt.last - began) / 1e6


def burst(server: BroadcastServer, listeners: Listeners, count: int) -> float:
    """Seconds from the first emit to the last receipt."""
    time.sleep(SETTLE_SECONDS)
    began, receipts = broadcast(server, listeners, count)
    return (max(receipt.last for receipt in receipts) - began[0]) / 1e9


class ForeignLoad:
    """The cores that processes other than these two and this one use, from now on."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._began, self._other = time.monotonic(), self._others()

    def _others(self) -> float:
        return busy_seconds() - time.process_time() - sum(cpu_seconds(pid) for pid in self._pids)

    def cores(self) -> float:
        return max(0.0, (self._others() - self._other) / (time.monotonic() - self._began))


def report(clients: int, of: dict[str, Figures]) -> None:
    print(f"\n{clients} clients", flush=True)
    print(
        f"  {'':6} {'deliveries/s':>12} {'(least':>8} {'most)':>8} {'last p50 ms':>12} {'p99 ms':>8} "
        f"{'KiB a client':>13} {'CPU s/million':>14} {'other cores':>12}"
    )
    for name, figures in of.items():
        print(
            f"  {name:6} {statistics.median(figures.rates):12,.0f} {min(figures.rates):8,.0f} "
            f"{max(figures.rates):8,.0f} {statistics.median(figures.last_ms):12.1f} "
            f"{percentile(figures.last_ms, 99):8.1f} {statistics.median(figures.kib_a_client):13.1f} "
            f"{statistics.median(figures.cpu_a_million):14.1f} {max(figures.foreign_cores):12.2f}",
            flush=True,
        )
    if ours := of.get("ours"):
        for peer, theirs in of.items():
            if theirs is not ours:
                print(f"  ours : {peer}, deliveries {ratio(ours.run_rates, theirs.run_rates)}")
                print(f"  ours : {peer}, last client's p50 {ratio(ours.run_last_ms, theirs.run_last_ms)}")


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Of the medians, and the least and the most of the runs one by one."""
    each = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    whole = statistics.median(ours) / statistics.median(theirs)
    return f"{whole:.2f} (runs: {min(each):.2f} to {max(each):.2f})"


def turned(names: list[str], run: int) -> list[str]:
    """The names in an order of which each run has another beginning."""
    first = run % len(names)
    return names[first:] + names[:first]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.fan_out",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sizes", default="500,2000", help="clients in the room (default: 500,2000)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--paced", type=int, default=50, help="paced broadcasts a run (default: 50)")
    parser.add_argument("--burst", type=int, default=50, help="broadcasts back to back (default: 50)")
    parser.add_argument("--bursts", type=int, default=5, help="bursts a run (default: 5)")
    parser.add_argument("--servers", default=",".join(SERVERS), help="default: all three")
    options = parser.parse_args()
    names = options.servers.split(",")
    load = Load(options.paced, options.burst, options.bursts)
    if "node" in names:
        install_node_packages()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = compile_listeners(folder)
        event_file = folder / "event.json"
        event_file.write_text(json.dumps(event()))
        for clients in map(int, options.sizes.split(",")):
            of = {name: Figures() for name in names}
            for run in range(options.runs):
                for each in turned(names, run):
                    measure(each, clients, load, program, event_file, of[each])
                    rate = of[each].run_rates[-1]
                    print(f"{clients} clients, run {run + 1}, {each}: {rate:,.0f} deliveries/s", flush=True)
            report(clients, of)


if __name__ == "__main__":
    main()
