"""`python -m tests.restores COMMAND`: progress on stderr, tables on stdout; exit 1 if something is amiss."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.report import Check, Result, Table, put_into
from tests.chaos.stage import Size, Stage
from tests.restores import drills, year
from tests.restores.kills import Kills
from tests.servers import Postgres

ONE_OF_EACH = Size(gateways=1, movies=1, notifiers=1, auths=1)


def main() -> int:
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="restores-") as folder:
        result: Result = options.do(options, Path(folder))
    print(f"## {result.scenario}\n\n{result.markdown()}\n", flush=True)
    if options.report:
        put_into(options.report, result)
    return 1 if result.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.restores", description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--seed", type=int, default=1, help="of all that is left to chance (%(default)s)")
    common.add_argument("--report", type=Path, help="also put the table between its marks in FILE")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    drill = commands.add_parser(
        "drills", parents=[common], help="each pair of databases, servers kept and emptied"
    )
    drill.set_defaults(do=_drills)
    kill = commands.add_parser(
        "kills", parents=[common], help="backups and restores killed at random moments"
    )
    kill.add_argument("--count", type=int, default=40, help="how many (%(default)s)")
    kill.set_defaults(do=_kills)
    years = commands.add_parser(
        "year", parents=[common], help="backup, restore, upgrade, kill, full disk, under load"
    )
    years.add_argument("--cycles", type=int, default=30, help="how many (%(default)s)")
    years.set_defaults(do=_year)
    return parser


def _drills(options: argparse.Namespace, folder: Path) -> Result:
    result = Result("restore drills", "python -m tests.restores drills")
    rows = []
    with Stage.open(ONE_OF_EACH, folder=folder) as stage:
        for case in drills.CASES:
            stage.say(str(case))
            found = drills.drill(stage, case, folder)
            rows.append([str(case), *(str(len(found[each])) for each in drills.JUDGED)])
            result.details += [Check.none(f"{case}: {each}", found[each]) for each in drills.JUDGED]
    result.table = Table(["restored", *drills.JUDGED], rows)
    return result


def _kills(options: argparse.Namespace, folder: Path) -> Result:
    command = f"python -m tests.restores kills --count {options.count}"
    result = Result("restore kills", command)
    rng = random.Random(options.seed)
    with Postgres(durable=True) as server:
        kills = Kills(server.url, folder, rng)
        for number in range(options.count):
            (kills.restore if number % 2 else kills.backup)()
            print(f"{number + 1}: {kills.found}", file=sys.stderr, flush=True)
    found = kills.found
    rows = [[state, str(count)] for state, count in sorted(found.states.items())]
    result.table = Table(["killed, and then", "times"], rows)
    result.notes.append(f"{found.killed} of {options.count} were killed before they had ended.")
    result.checks.append(Check.none("ended otherwise, or the next start was not well", found.wrong))
    return result


def _year(options: argparse.Namespace, folder: Path) -> Result:
    result = Result("a year", f"python -m tests.restores year --cycles {options.cycles}")
    found = year.cycles(options.cycles, folder, random.Random(options.seed))
    result.table = Table(["in all", "count"], [[what, f"{count:,}"] for what, count in found.counts.items()])
    result.checks += [Check.none(what, wrong) for what, wrong in found.wrong.items()]
    return result


if __name__ == "__main__":
    sys.exit(main())
