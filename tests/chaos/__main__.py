"""`python -m tests.chaos <scenario>`: progress on stderr, tables on stdout; exit 1 where a check failed."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from tests.chaos import report
from tests.chaos.report import Result
from tests.chaos.scenarios import alarm, frozen, kills, midcall, outages, rolling, rooms, topology
from tests.chaos.stage import Stage
from tests.servers import ServerFailed

ENVIRONMENT = {"TOKEN_LIFETIME": "86400"}  # seconds: no token ends within a scenario
ALL = "all"
SERVERS = ["RabbitMQ", "PostgreSQL", "Redis"]
DEEDS = ["SIGKILL", "SIGSTOP"]
# Each has a Plan, whose fields are named as the options are, and a `run(stage, plan, seed, command)`.
SCENARIOS: dict[str, Any] = {
    "kills": kills,
    "rooms": rooms,
    "midcall": midcall,
    "frozen": frozen,
    "outages": outages,
    "alarm": alarm,
    "rolling": rolling,
    "topology": topology,
}


def parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--seed", type=int, default=1, help="of all that is left to chance (%(default)s)")
    common.add_argument(
        "--report", type=Path, help="also put the tables between the scenario's marks in FILE"
    )
    common.add_argument("--keep", type=Path, help="keep the logs of the services in this folder")
    whole = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Faults on real processes and private servers under load, and a checker of what was "
        "acknowledged meanwhile. Progress goes to stderr, tables to stdout; the exit code is 1 where a check "
        "failed. Ctrl-C ends everything that was started.",
    )
    scenarios = whole.add_subparsers(dest="scenario", required=True, metavar="scenario")

    def add(name: str, what: str) -> argparse.ArgumentParser:
        formatter = argparse.ArgumentDefaultsHelpFormatter
        return scenarios.add_parser(
            name, parents=[common], help=what, description=what, formatter_class=formatter
        )

    add(ALL, "each of the following with its full figures, one after the other: some 32 minutes")

    scenario = add("kills", "reviews through two gateways, and something killed or stopped every few seconds")
    scenario.add_argument("--reviews", type=int, default=10_000, help="how many")
    scenario.add_argument("--writers", type=int, default=16, help="clients that write at once")
    scenario.add_argument("--every", type=float, default=3.0, help="seconds from one fault to the next")
    scenario.add_argument(
        "--freezes", type=float, default=0.2, help="share of SIGSTOP among the faults, 0 to 1"
    )
    scenario.add_argument("--auths", type=int, default=2, help="auth services")

    scenario = add("rooms", "listeners who come back, while notifiers, RabbitMQ and Redis are killed")
    scenario.add_argument("--reviews", type=int, default=5_000, help="how many")
    scenario.add_argument("--listeners", type=int, default=200, help="stock clients, in a room or two each")
    scenario.add_argument("--javascript", type=int, default=20, help="of them with the JavaScript client")
    scenario.add_argument("--writers", type=int, default=16, help="clients that write at once")
    scenario.add_argument("--every", type=float, default=3.0, help="seconds from one fault to the next")

    scenario = add("outages", "each server away for a while, under a mixed load")
    scenario.add_argument("--servers", nargs="+", choices=SERVERS, default=SERVERS, help="which")
    scenario.add_argument("--deeds", nargs="+", choices=DEEDS, default=DEEDS, help="how")
    scenario.add_argument("--seconds", nargs="+", type=float, default=[10.0, 60.0], help="for how long")
    scenario.add_argument("--threads", type=int, default=8, help="clients")

    scenario = add("frozen", "calls at once that need a service which is dead or stands still")
    scenario.add_argument("--calls", type=int, default=100, help="at once")
    scenario.add_argument("--rounds", type=int, default=2, help="how often, while the service is away")

    scenario = add("midcall", "movies services killed while they work on writes")
    scenario.add_argument("--kills", type=int, default=100, help="how many")

    scenario = add("alarm", "a memory alarm of RabbitMQ, under a mixed load")
    scenario.add_argument("--seconds", type=float, default=10.0, help="for how long")
    scenario.add_argument("--threads", type=int, default=8, help="clients")

    scenario = add("rolling", "every process replaced, one after the other, under a mixed load")
    scenario.add_argument("--clients", type=int, default=16, help="clients that keep their connections")
    scenario.add_argument("--rounds", type=int, default=1, help="how often each process is replaced")

    scenario = add("topology", "every exchange, queue and binding deleted once, under a mixed load")
    scenario.add_argument("--threads", type=int, default=4, help="clients")
    scenario.add_argument("--deletions", type=int, default=100, help="the first so many of them")
    return whole


def perform(options: argparse.Namespace, command: str) -> Result:
    """Run the scenario. AssertionError where the platform does not come up, or does not come back."""
    module = SCENARIOS[options.scenario]
    given = vars(options)
    plan = module.Plan(**{each.name: given[each.name] for each in fields(module.Plan) if each.name in given})
    with Stage.open(plan.size, folder=options.keep, environment=ENVIRONMENT) as stage:
        result: Result = module.run(stage, plan, options.seed, command)
        return result


def shown(words: Sequence[str]) -> str:
    """The command line as a page may show it: without where things are put."""
    kept = list(words)
    for option in ("--report", "--keep"):
        if option in kept:
            del kept[kept.index(option) : kept.index(option) + 2]
    return shlex.join(["python", "-m", "tests.chaos", *kept])


def one(words: Sequence[str]) -> int:
    """Run what a command line asks for; the exit code."""
    options = parser().parse_args(words)
    print(f"{options.scenario}:", file=sys.stderr)
    try:
        result = perform(options, shown(words))
    except (AssertionError, ServerFailed) as error:
        print(f"{options.scenario}: {error}", file=sys.stderr)
        return 1
    print(f"## {options.scenario}\n\n{result.markdown()}\n", flush=True)
    if options.report:
        report.put_into(options.report, result)
    for check in result.failed:
        print(f"NOT HELD: {check.what}: {check.measured}, promised {check.promised}", file=sys.stderr)
    return 1 if result.failed else 0


def main() -> int:
    words = sys.argv[1:]
    options = parser().parse_args(words)
    try:
        if options.scenario == ALL:
            rest = [word for word in words if word != ALL]
            return max([one([name, *rest]) for name in SCENARIOS])
        return one(words)
    except KeyboardInterrupt:
        print("\nbroken off; everything is ended", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
