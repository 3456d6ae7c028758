"""Stock listeners by the hundred in processes of their own, and logs of what they heard in their rooms."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from tests.chaos.resumption import Answered, Asked, Heard, Record
from tests.processes import ROOT, wait_until

SCRIPTS = ROOT / "tests" / "javascript"
COMMANDS: dict[str, Sequence[str]] = {
    "python": (sys.executable, "-m", "tests.chaos.listening"),
    "javascript": ("node", str(SCRIPTS / "listening.mjs")),
}
DELAYS = (0.2, 1.0)  # seconds: the shortest and the longest until a client tries to connect again
INSIDE_SECONDS = 90.0
END_SECONDS = 15.0
INSTALL_SECONDS = 100


@dataclass(frozen=True)
class Listener:
    """Who listens: at the notifier `first` to begin with, in `rooms`."""

    name: str
    language: str  # "python", "javascript": whose stock client
    first: int
    rooms: Sequence[str]
    transports: Sequence[str] | None = ("websocket",)  # None: what the client does by itself


class Listeners:
    """In one process for each language, for the length of a `with`."""

    def __init__(self, urls: Sequence[str], listeners: Iterable[Listener], folder: Path) -> None:
        """`folder` gets `listeners-<language>.log`: each line, and when it was read, in seconds."""
        self.all = {each.name: each for each in listeners}
        self.logs: dict[tuple[str, str], list[Record]] = {
            (each.name, room): [] for each in self.all.values() for room in each.rooms
        }
        self.connections: Counter[str] = Counter()  # by listener
        self.transports: dict[str, list[str]] = defaultdict(list)  # by listener, one after the other
        self.refusals: list[str] = []  # "listener in room: error"
        self.given_up: list[str] = []  # "listener: why"
        self.heard = 0
        self._urls = list(urls)
        self._folder = folder
        self._inside: dict[str, set[str]] = {name: set() for name in self.all}
        self._programs: dict[str, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Self:
        try:
            for language in sorted({each.language for each in self.all.values()}):
                self._start(language)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        for program in self._programs.values():
            if program.stdin and not program.stdin.closed:
                program.stdin.close()  # which ends it
        for program in self._programs.values():
            try:
                program.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
        for reader in self._readers:
            reader.join(END_SECONDS)

    @property
    def notifiers(self) -> int:
        return len(self._urls)

    def cut(self, name: str) -> None:
        """End its connection as a lost one ends, without a word."""
        self._tell(name, "cut")

    def switch(self, name: str, place: int) -> None:
        """Let it leave for another notifier."""
        self._tell(name, "switch", place)

    def outside(self) -> list[str]:
        """Who is not in all of its rooms now."""
        return [name for name, inside in self._inside.items() if len(inside) < len(self.all[name].rooms)]

    def wait_until_inside(self, seconds: float = INSIDE_SECONDS) -> None:
        """Return once all are in their rooms; AssertionError after `seconds`."""
        wait_until(lambda: self._check() or not self.outside(), seconds, "every listener is in its rooms")

    def _check(self) -> None:
        for language, program in self._programs.items():
            assert program.poll() is None, f"the listeners in {language} ended with {program.returncode}"

    def _start(self, language: str) -> None:
        if language == "javascript":
            install_scripts()
        program = subprocess.Popen(
            COMMANDS[language], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._programs[language] = program
        mine = [asdict(each) for each in self.all.values() if each.language == language]
        self._write(program, {"urls": self._urls, "delays": DELAYS, "listeners": mine})
        reader = threading.Thread(target=self._read, args=(language, program), name=f"{language} listeners")
        reader.start()
        self._readers.append(reader)

    def _tell(self, name: str, deed: str, *more: object) -> None:
        self._write(self._programs[self.all[name].language], [deed, name, *more])

    def _write(self, program: subprocess.Popen[str], what: object) -> None:
        assert program.stdin
        program.stdin.write(json.dumps(what) + "\n")
        program.stdin.flush()

    def _read(self, language: str, program: subprocess.Popen[str]) -> None:
        assert program.stdout
        with program.stdout, (self._folder / f"listeners-{language}.log").open("w") as log:
            for line in program.stdout:
                log.write(f"{time.time():.2f} {line}")
                self._note(*json.loads(line))

    def _note(self, what: str, name: str, *more: Any) -> None:
        match what, *more:
            case "heard", room, event, review:
                self.logs[name, room].append(Heard(event, review))
                self.heard += 1
            case "asked", room, last:
                self.logs[name, room].append(Asked(last))
            case "answered", room, recovered, last:
                self.logs[name, room].append(Answered(recovered, last))
                self._inside[name].add(room)
            case "connected", transport:
                self.transports[name].append(transport)
                self.connections[name] += 1
                self._inside[name].clear()
            case "upgraded", transport:
                self.transports[name].append(transport)
            case ["disconnected"]:
                self._inside[name].clear()
            case "refused", room, error:
                self.refusals.append(f"{name} in {room}: {error}")
            case "gave up", why:
                self.given_up.append(f"{name}: {why}")


def install_scripts() -> None:
    """What the JavaScript client needs, unless it is there."""
    if not (SCRIPTS / "node_modules").exists():
        command = ["npm", "ci", "--silent", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=SCRIPTS, check=True, timeout=INSTALL_SECONDS)
