"""Every setting, in every way to be wrong, at every way to start, each as a process of its own.

`python -m tests.bench.settings` tries one in `--every` (20 by default; 1: all, two hours), and prints for
each way to start how many were tried and how many were answered by one line and code 2, with those that were
not. It ends with 1 where there are any.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.entry_points import entry_points
from tests.processes import ROOT
from tests.unit.broker.config.wrong import cases

SECONDS = 60
# Neither is at fault itself, and a process that gets past its settings would find nobody there.
COMPLETE = {
    "AMQP_URI": "amqp://guest:guest@127.0.0.1:1//",
    "AUTH_DATABASE_URL": "postgresql://auth:a-secret@127.0.0.1:1/auth",
    "MOVIES_DATABASE_URL": "postgresql://movies:a-secret@127.0.0.1:1/movies",
}


def wrong_settings() -> list[tuple[str, str]]:
    """(variable, value), the misspelt ones too."""
    made = [(variable, value) for variable, _, value in cases()]
    variables = list(dict.fromkeys(variable for variable, _ in made))
    # With the right one beside it nobody minds the misspelt one.
    alone = [variable for variable in variables if variable not in COMPLETE]
    return made + [(f"{variable[:-2]}{variable[-1]}{variable[-2]}", "1") for variable in alone]


def lines_of(command: list[str | Path], variable: str, value: str) -> tuple[int, list[str]]:
    environment = {**os.environ, **COMPLETE, "CONFIG": str(ROOT / "config.yaml"), "PYTHONPATH": str(ROOT)}
    environment[variable] = value
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return ended.returncode, ended.stderr.splitlines()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.settings", description=__doc__)
    parser.add_argument("--every", type=int, default=20, help="try one of so many (%(default)s)")
    every = parser.parse_args().every
    wrong = [each for each in wrong_settings() if "\udcff" not in each[1]]
    print("| way to start | tried | one line, code 2 |\n| --- | --- | --- |")
    failed = []
    for index, (name, command) in enumerate(entry_points(ROOT / "config.yaml").items()):
        tried = wrong[index % every :: every]
        bad = []
        for variable, value in tried:
            code, lines = lines_of(command, variable, value)
            if code != 2 or len(lines) != 1:
                bad.append(f"{name}: {variable}={value!r}: code {code}, {len(lines)} lines: {lines[:2]}")
        print(f"| {name} | {len(tried)} | {len(tried) - len(bad)} |", flush=True)
        failed += bad
    print(*failed, sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
