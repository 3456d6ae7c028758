"""A side of the bench in a process of its own, so that what it costs is not what is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Self

from tests.processes import ROOT

FINISH_SECONDS = 60


class Program:
    """`python -m <module>`, as a context. Spoken is in lines: to it a plan in JSON, and what `say` is given;
    from it `ready`, and once its input has ended what it found, in JSON.
    """

    def __init__(self, module: str, plan: dict[str, Any]) -> None:
        self._name = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.say(json.dumps(plan))

    def wait_ready(self) -> None:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line == "ready\n", f"{self._name} did not get ready: {line!r}"

    def say(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def finish(self) -> Any:
        shown, _ = self._process.communicate(timeout=FINISH_SECONDS)
        assert self._process.returncode == 0, f"{self._name} ended with {self._process.returncode}"
        return json.loads(shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.kill()
        self._process.communicate()
