"""Many Socket.IO listeners in a process of their own, written in C so that they do not cost what is measured.

They count the broadcasts that have `bench-<number>` in them (`title(number)`), and say when the first, the
median and the last listener of the room had each. With several rooms, broadcast n is for room n % rooms.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

SOURCES = sorted(Path(__file__).parent.glob("*.c"))
STOP_SECONDS = 30


@dataclass(frozen=True)
class Receipt:
    """When a broadcast came in; moments are time.monotonic_ns(). `count` listeners had it."""

    count: int
    first: int
    median: int
    last: int


@dataclass(frozen=True)
class Lost:
    """A connection that ended. `code`: of the WebSocket's close frame, 0 without one."""

    listener: int
    at: int
    code: int


@dataclass
class Heard:
    """What the listeners have heard and lost until now; the counts are there once they have ended."""

    whole: dict[int, Receipt] = field(default_factory=dict)  # by number: the whole room has heard it
    partly: dict[int, Receipt] = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)
    pings: int = 0
    fewest_pings: int = 0  # of one listener
    twice: int = 0
    backwards: int = 0
    strays: int = 0

    @property
    def flawless(self) -> bool:
        """Whether every listener heard every broadcast that any of its room did, once and in order."""
        return not (self.lost or self.partly or self.twice or self.backwards or self.strays)


def title(number: int) -> str:
    """What a broadcast must have in it."""
    return f"bench-{number}"


def compile_listeners(folder: Path) -> Path:
    """The program, compiled into `folder` by the system's C compiler."""
    program = folder / "listeners"
    subprocess.run(["cc", "-O2", "-Wall", "-D_GNU_SOURCE", "-o", program, *SOURCES], check=True)
    return program


class Listeners:
    """`clients` listeners, spread over `rooms`; without rooms, the server puts them all into one."""

    def __init__(
        self, program: Path, port: int, clients: int, rooms: Sequence[str] = (), *, deflate: bool = False
    ) -> None:
        self.heard = Heard()
        self._ready = False
        self._ended = False
        self._changed = threading.Condition()
        command = [str(program), str(port), str(clients), str(int(deflate)), *rooms]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self, seconds: float) -> None:
        """Return once all are in their rooms. AssertionError where one cannot, or after `seconds`."""
        self._wait(lambda: self._ready, seconds, "all listeners are in their rooms")

    def wait_heard(self, numbers: Iterable[int], seconds: float) -> list[Receipt]:
        """The receipts of broadcasts, once whole rooms have them. AssertionError after `seconds`."""
        wanted = list(numbers)
        self._wait(
            lambda: all(number in self.heard.whole for number in wanted), seconds, "all have the broadcasts"
        )
        return [self.heard.whole[number] for number in wanted]

    def has_heard(self, numbers: Iterable[int], seconds: float) -> bool:
        """Whether whole rooms have these broadcasts within `seconds`."""
        try:
            self.wait_heard(numbers, seconds)
        except AssertionError:
            return False
        return True

    def finish(self) -> Heard:
        """Close all connections; what was heard."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        return self.heard

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.kill()
        self._process.wait()

    def _wait(self, condition: Any, seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            while not condition():
                assert not self._ended, f"{what}: the listeners have ended"
                left = deadline - time.monotonic()
                assert left > 0, f"{what}: not within {seconds:g} s"
                self._changed.wait(left)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            with self._changed:
                self._take(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self, news: dict[str, int]) -> None:
        if "ready" in news:
            self._ready = True
        elif "end" in news:
            self.heard.pings, self.heard.fewest_pings = news["pings"], news["fewest_pings"]
            self.heard.twice, self.heard.backwards = news["twice"], news["backwards"]
            self.heard.strays = news["strays"]
        elif "lost" in news:
            self.heard.lost.append(Lost(news["lost"], news["at"], news["code"]))
        else:
            kind = "heard" if "heard" in news else "partly"
            receipts = self.heard.whole if kind == "heard" else self.heard.partly
            receipts[news[kind]] = Receipt(news["count"], news["first"], news["median"], news["last"])
