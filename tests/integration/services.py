"""Services that the tests run as processes, for what no service of the platform does on purpose."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import eventlet
from nameko.extensions import DependencyProvider

from broker import consumer
from broker.consumer import event_handler
from broker.dead_letters import DeadLetters
from broker.errors import ServiceUnavailable
from broker.events import Envelope
from broker.rpc import RpcClient, ServiceRpc, rpc

# The tests need not wait as long; where one acts in a pause, it says how long that is.
consumer.PAUSES = (float(os.environ.get("PAUSE", "0.05")),)

calls: Counter[str] = Counter()
handled: list[str] = []
healed: set[str] = set()


class Fragile:
    """Answers slowly, or not in JSON, and fails at the events that ask for it."""

    name = "fragile"

    dead = DeadLetters()

    @rpc
    def echo(self, value: Any) -> Any:
        calls["echo"] += 1
        return value

    @rpc
    def slow(self, seconds: float) -> str:
        calls["slow"] += 1
        eventlet.sleep(seconds)
        return "at last"

    @rpc(heavy=True)
    def heavy(self, seconds: float) -> str:
        calls["heavy"] += 1
        eventlet.sleep(seconds)
        return "at last"

    @rpc
    def no_json(self) -> Any:
        return object()

    @rpc
    def counts(self) -> dict[str, Any]:
        return {"calls": dict(calls), "handled": handled}

    @rpc
    def heal(self, event_id: str) -> None:
        healed.add(event_id)

    @rpc
    def dead_letters(self) -> list[dict[str, Any]]:
        return self.dead.listed()

    @rpc
    def replay_dead_letters(self, event_id: str) -> dict[str, Any]:
        return self.dead.replay(event_id)

    @rpc
    def discard_dead_letters(self, event_id: str) -> int:
        return self.dead.discard(event_id)

    @event_handler("elsewhere", "happened")
    def handle_happened(self, event: Envelope) -> None:
        """`data`: `failures`, how often it is to fail; `away`, how often as if a database were away;
        `seconds`, how long it is to take."""
        calls[event.id] += 1
        eventlet.sleep(event.data.get("seconds", 0))
        if event.id not in healed:
            if calls[event.id] <= event.data.get("away", 0):
                raise ServiceUnavailable
            if calls[event.id] <= event.data.get("failures", 0):
                raise ValueError("as it was asked to")
        handled.append(event.id)


class Narrow(Fragile):
    """The same with one worker, as its tests start it."""

    name = "narrow"


class Unanswered(DependencyProvider):
    """Injects what counts the calls that wait."""

    client = RpcClient()

    def get_dependency(self, worker_ctx: Any) -> Any:  # noqa: ARG002
        return lambda: len(self.client._waiting)


class Caller:
    """Calls the others for the tests, as the gateway does."""

    name = "caller"

    fragile = ServiceRpc("fragile")
    nobody = ServiceRpc("nobody")
    unanswered = Unanswered()

    @rpc
    def relay(self, service: str, method: str, args: list[Any]) -> Any:
        return getattr(getattr(self, service), method)(*args)

    @rpc
    def waiting(self) -> int:
        """How many calls are neither answered nor given up."""
        return int(self.unanswered())


class Deadly:
    """Has the name of movies, for its database, and dies of what asks for it.

    In `$DEADLY_FOLDER`: `attempts` gets its process id for each attempt at an event that is not deadly, and
    `handled` the event's id in the end. While `away` is there, it is as if the database were away.
    """

    name = "movies"

    dead = DeadLetters()

    @rpc
    def get(self, movie_id: int, seconds: float = 0) -> int:
        if movie_id < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        eventlet.sleep(seconds)
        return movie_id

    @rpc
    def dead_letters(self) -> list[dict[str, Any]]:
        return self.dead.listed()

    @event_handler("auth", "user_updated")
    def handle_user_updated(self, event: Envelope) -> None:
        if event.data.get("deadly"):
            os.kill(os.getpid(), signal.SIGKILL)
        folder = Path(os.environ["DEADLY_FOLDER"])
        note(folder / "attempts", str(os.getpid()))
        if (folder / "away").exists():
            raise ServiceUnavailable
        note(folder / "handled", event.id)


def note(file: Path, line: str) -> None:
    """Add a line, whole, whoever else adds one."""
    with file.open("a") as lines:
        lines.write(line + "\n")
