"""The README as its tests read it: fenced blocks by section, tables; and its programs, run."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import kombu

from tests.platforms import FullDeployment
from tests.processes import ROOT, STOP_SECONDS

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
LINE_SECONDS = 30
COMPOSE_PROGRAM = "docker-compose" if shutil.which("docker-compose") else "docker compose"


@dataclass(frozen=True)
class Block:
    section: str
    language: str
    code: str

    def lines(self) -> list[str]:
        """Its commands, without their comments."""
        return [command for line in self.code.splitlines() if (command := re.sub(r"\s+# .*", "", line))]

    def replaced(self, words: Mapping[str, str]) -> str:
        """The code with other words in the place of some."""
        some = "|".join(re.escape(word) for word in words)
        return re.sub(rf"\b(?:{some})\b", lambda found: words[found[0]], self.code)


def blocks() -> list[Block]:
    """All fenced blocks, in order."""
    found, section = [], ""
    for heading, language, code in re.findall(r"^#+ ([^\n]+)$|^```(\w*)\n(.*?)^```$", TEXT, re.M | re.S):
        section = heading or section
        if not heading:
            found.append(Block(section, language, code))
    return found


def block(section: str, language: str, number: int = 0) -> Block:
    """The block of `language` in `section`; of several, the one with that `number`."""
    return [found for found in blocks() if (found.section, found.language) == (section, language)][number]


def table(section: str) -> list[list[str]]:
    """The rows of the section's table, without its head; code marks are taken off cells that are all code."""
    body = re.split(rf"^#+ {re.escape(section)}$", TEXT, flags=re.M)[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in body.splitlines() if line.startswith("|")]
    return [[re.sub(r"^`([^`]*)`$", r"\1", cell.strip()) for cell in row] for row in rows[2:]]


def inline(pattern: str) -> str:
    """The one piece of inline code that matches `pattern`."""
    (found,) = {code for code in re.findall(r"`([^`\n]+)`", TEXT) if re.fullmatch(pattern, code)}
    return found


class Program:
    """A program of the README as a process of its own; what it prints is awaited line by line."""

    def __init__(
        self,
        command: Sequence[str | Path],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
    ) -> None:
        self._errors = folder / "stderr.log"
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=cwd,
                env={**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=[self._process.stdout], daemon=True)
        self._reader.start()

    def line(self) -> str:
        """The next line that it prints."""
        try:
            return self._lines.get(timeout=LINE_SECONDS)
        except queue.Empty:
            raise AssertionError(f"it printed no line; stderr:\n{self._errors.read_text()}") from None

    def _read(self, output: IO[str]) -> None:
        for line in output:
            self._lines.put(line.rstrip("\n"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


def bash(script: str, **environment: str) -> str:
    """What `script` prints; AssertionError where any of it fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env={**os.environ, "MAKEFLAGS": "", "MAKELEVEL": "", **environment},  # `make test` hands its own down
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def documents(text: str) -> list[Any]:
    """The JSON documents that stand one on a line."""
    return [json.loads(line) for line in text.splitlines()]


@contextmanager
def heard_by(connection: kombu.Connection, queue: kombu.Queue) -> Iterator[list[Any]]:
    """The bodies that `queue` receives while the connection is drained."""
    heard: list[Any] = []
    with connection.Consumer(queue, callbacks=[lambda body, _message: heard.append(body)], no_ack=True):
        yield heard


@contextmanager
def queue_of_a_test(deployment: FullDeployment, name: str) -> Iterator[None]:
    """Deletes the queue in the end: it is durable, and the server may be somebody's."""
    try:
        yield
    finally:
        with kombu.Connection(deployment.servers.amqp) as connection, connection.channel() as channel:
            channel.queue_delete(name)


def consumers(deployment: FullDeployment, queue: str) -> int:
    """How many consume `queue`; 0 where it is not there."""
    with kombu.Connection(deployment.servers.amqp) as connection, connection.channel() as channel:
        try:
            return int(channel.queue_declare(queue, passive=True).consumer_count)
        except connection.channel_errors:
            return 0


def compose(*words: str, files: list[str]) -> subprocess.CompletedProcess[str]:
    secrets = re.findall(r"^(\w+)=$", (ROOT / ".env.example").read_text(), re.M)
    return subprocess.run(
        [*COMPOSE_PROGRAM.split(), *files, *words],
        cwd=ROOT,
        env={**os.environ, **dict.fromkeys(secrets, "set"), "DOCKER_HOST": "tcp://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
