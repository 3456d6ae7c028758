"""One greedy client of each kind beside ordinary people, and what it does to them.

`python -m tests.bench.greedy` starts the platform as `make run` does, anew for each kind; with `--separate`,
one gateway, one auth, one movies service and one notifier on private servers. Ordinary people (127.0.0.1)
read, sign in, open new connections, join a room and talk in it, some 23 requests a second in all: first by
themselves, then beside one greedy client (127.0.0.2, in a process of its own, at nice 10, since all share
the machine), then by themselves again. A kind has held where the 99th percentile of each of their activities
was under 500 ms or at most twice that of before, none of them was refused or cut off, and the platform's
processes took 50 MiB more at the most than they ever did before it came. Times are p50/p99 in milliseconds,
before → during → after. Progress goes to stderr, the table to stdout; exit 1 where a kind has not held.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from tests.bench.greedy import people
from tests.bench.greedy.deeds import Target
from tests.bench.greedy.doors import Doors, doors, private_servers
from tests.bench.greedy.kinds import KINDS, Kind
from tests.bench.greedy.outcome import COLUMNS, PHASES, Outcome
from tests.bench.greedy.preparation import Scene, scene
from tests.bench.greedy.program import Program
from tests.bench.usage import PeakMemory
from tests.chaos import report
from tests.servers import ServerUrls

SETTLE_SECONDS = 2.0


def measure(kind: Kind, servers: ServerUrls | None, seconds: float) -> Outcome:
    """`kind` at a platform of its own."""
    with doors(servers, kind.files) as running:
        found = scene(running.gateway, running.notifier, kind.furnish)
        outcome = beside(kind, running, found, seconds)
    outcome.troubles += running.troubles
    return outcome


def beside(kind: Kind, running: Doors, found: Scene, seconds: float) -> Outcome:
    plan = people.Plan(
        gateway=running.gateway,
        notifier=running.notifier,
        accounts=[each.email for each in found.people],
        token=found.people[0].token,
        user_id=found.people[0].id,
        movies=found.movies,
        titles=found.titles,
        replay=found.replay,
    )
    greedy = {"kind": kind.deed, "target": asdict(_target(running, found))}
    with ExitStack() as stack:
        ordinary = stack.enter_context(Program("tests.bench.greedy.people", asdict(plan)))
        ordinary.wait_ready()
        time.sleep(SETTLE_SECONDS)
        ordinary.say(PHASES[0])
        # What ordinary people make of it in the same time, their passwords' hashes and all.
        with ExitStack() as ordinarily:
            before = [ordinarily.enter_context(PeakMemory(process.pid)) for process in running.processes]
            time.sleep(seconds)
        memories = [stack.enter_context(PeakMemory(process.pid)) for process in running.processes]
        logged = running.log_bytes()
        with Program("tests.bench.greedy.client", greedy) as client:
            client.wait_ready()
            ordinary.say(PHASES[1])
            time.sleep(seconds)
            answers = client.finish()
        ordinary.say(PHASES[2])
        time.sleep(seconds)
        told = ordinary.finish()
        return Outcome(
            what=kind.what,
            times=told["times"],
            flooded=told["flooded"].get(PHASES[1], 0),
            growth_mib=(sum(each.kib for each in memories) - sum(each.kib for each in before)) / 1024,
            log_bytes=running.log_bytes() - logged,
            answers=answers,
            troubles=[f"{name} ended" for name in running.ended()],
        )


def _target(running: Doors, found: Scene) -> Target:
    return Target(
        gateway=running.gateway,
        notifier=running.notifier,
        token=found.greedy.token,
        user_id=found.greedy.id,
        victim=found.people[1].email,
        replay=found.replay,
    )


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m tests.bench.greedy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument(
        "--kind",
        nargs="+",
        choices=KINDS,
        default=list(KINDS),
        metavar="K",
        help=f"of {', '.join(KINDS)} (all)",
    )
    options.add_argument(
        "--seconds", type=float, default=10, help="of each of the three phases (%(default)s)"
    )
    options.add_argument("--separate", action="store_true", help="the parts as processes, on private servers")
    options.add_argument(
        "--report", type=Path, metavar="FILE", help="also put the table between its marks there"
    )
    return options


def main() -> int:
    arguments = parser().parse_args()
    if arguments.separate and arguments.report:
        parser().error("--report takes the table of one process, which --separate does not measure")
    outcomes = []
    with private_servers(arguments.separate) as servers:
        for name in arguments.kind:
            outcomes.append(measure(KINDS[name], servers, arguments.seconds))
            for line in [" | ".join(outcomes[-1].row()), *outcomes[-1].notes()]:
                print(f"{name}: {line}", file=sys.stderr, flush=True)
    result = report.Result(
        scenario="greedy",
        command=shlex.join(["python", "-m", "tests.bench.greedy", *sys.argv[1:]]),
        table=report.Table(COLUMNS, [outcome.row() for outcome in outcomes]),
        notes=[f"- {each.what}: {'; '.join(each.notes())}" for each in outcomes if each.notes()],
    )
    print(result.markdown())
    if arguments.report:
        report.put_into(arguments.report, result)
    return 0 if all(outcome.holds for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
