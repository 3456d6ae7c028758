"""`python -m tests.chaos <scenario>`: progress on stderr, tables on stdout; exit 1 where a check failed."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from tests.chaos import report
from tests.chaos.report import Result
from tests.chaos.scenarios import alarm, frozen, kills, midcall, outages, rolling
from tests.chaos.stage import Stage
from tests.servers import ServerFailed

ENVIRONMENT = {"TOKEN_LIFETIME": "86400"}  # seconds: no token ends within a scenario
SERVERS = ["RabbitMQ", "PostgreSQL", "Redis"]
DEEDS = ["SIGKILL", "SIGSTOP"]
# Each has a Plan, whose fields are named as the options are, and a `run(stage, plan, seed, command)`.
SCENARIOS: dict[str, Any] = {
    "kills": kills,
    "outages": outages,
    "frozen": frozen,
    "midcall": midcall,
    "alarm": alarm,
    "rolling": rolling,
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

    one = add("kills", "reviews through two gateways, and something killed or stopped every few seconds")
    one.add_argument("--reviews", type=int, default=10_000, help="how many")
    one.add_argument("--writers", type=int, default=16, help="clients that write at once")
    one.add_argument("--every", type=float, default=3.0, help="seconds from one fault to the next")
    one.add_argument("--freezes", type=float, default=0.2, help="share of SIGSTOP among the faults, 0 to 1")
    one.add_argument("--auths", type=int, default=2, help="auth services")

    one = add("outages", "each server away for a while, under a mixed load")
    one.add_argument("--servers", nargs="+", choices=SERVERS, default=SERVERS, help="which")
    one.add_argument("--deeds", nargs="+", choices=DEEDS, default=DEEDS, help="how")
    one.add_argument("--seconds", nargs="+", type=float, default=[10.0, 60.0], help="for how long")
    one.add_argument("--threads", type=int, default=8, help="clients")

    one = add("frozen", "calls at once that need a service which is dead or stands still")
    one.add_argument("--calls", type=int, default=100, help="at once")
    one.add_argument("--rounds", type=int, default=2, help="how often, while the service is away")

    one = add("midcall", "movies services killed while they work on writes")
    one.add_argument("--kills", type=int, default=100, help="how many")

    one = add("alarm", "a memory alarm of RabbitMQ, under a mixed load")
    one.add_argument("--seconds", type=float, default=10.0, help="for how long")
    one.add_argument("--threads", type=int, default=8, help="clients")

    one = add("rolling", "every process replaced, one after the other, under a mixed load")
    one.add_argument("--clients", type=int, default=16, help="clients that keep their connections")
    one.add_argument("--rounds", type=int, default=1, help="how often each process is replaced")
    return whole


def perform(options: argparse.Namespace, command: str) -> Result:
    """Run the scenario. AssertionError where the platform does not come up, or does not come back."""
    module = SCENARIOS[options.scenario]
    given = vars(options)
    plan = module.Plan(**{each.name: given[each.name] for each in fields(module.Plan) if each.name in given})
    with Stage.open(plan.size, folder=options.keep, environment=ENVIRONMENT) as stage:
        result: Result = module.run(stage, plan, options.seed, command)
        return result


def main() -> int:
    options = parser().parse_args()
    command = shlex.join(["python", "-m", "tests.chaos", *sys.argv[1:]])
    try:
        result = perform(options, command)
    except (AssertionError, ServerFailed) as error:
        print(f"{options.scenario}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbroken off; everything is ended", file=sys.stderr)
        return 130
    print(result.markdown(), flush=True)
    if options.report:
        report.put_into(options.report, result)
    for check in result.failed:
        print(f"NOT HELD: {check.what}: {check.measured}, promised {check.promised}", file=sys.stderr)
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main())
