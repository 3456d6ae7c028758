"""Stock clients come back by themselves, to a notifier that was killed, and have missed nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.chaos.listeners import Listener, Listeners
from tests.chaos.resumption import Answered, Asked, Heard, Record
from tests.clients import sign_up
from tests.platforms import FullDeployment
from tests.processes import PROGRAMS, Process, free_port, wait_until

READY_SECONDS = 30
HEARD_SECONDS = 15
# What a client is told of transports, and the one that it must come to speak.
TRANSPORTS: dict[str, tuple[list[str] | None, str]] = {
    "default": (None, "websocket"),
    "websocket": (["websocket"], "websocket"),
    "polling": (["polling"], "polling"),
}
NAMES = [f"{language}, {transport}" for language in ("python", "javascript") for transport in TRANSPORTS]


class Notifier:
    """One of its own beside the deployment's, on a port that it keeps."""

    def __init__(self, deployment: FullDeployment, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._environment = {**deployment.environment, "NOTIFIER_PORT": str(port)}
        self._folder = folder
        self._process: Process | None = None

    def start(self) -> None:
        """Return once it is ready."""
        command = [PROGRAMS / "python", "-m", "notifications"]
        self._process = Process("stock-clients-notifier", command, self._environment, self._folder)
        wait_until(self._is_ready, READY_SECONDS, "the notifier is ready")

    def kill(self) -> None:
        assert self._process
        self._process.signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process and self._process.is_running():
            assert self._process.stop() == 0

    def _is_ready(self) -> bool:
        assert self._process
        self._process.check()
        try:
            return requests.get(f"{self.url}/health/ready", timeout=5).status_code == 200
        except requests.RequestException:
            return False


@dataclass(frozen=True)
class Story:
    """What each listener went through, and the ids of the reviews: before, meanwhile, after."""

    listeners: Listeners
    room: str
    reviews: list[int]


@pytest.fixture(scope="module")
def story(full_deployment: FullDeployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A review is heard, the notifier dies, another is written, it starts again, and a third is written."""
    author = sign_up(full_deployment.gateways[0])
    room = f"user:{author.id}"

    def write_review() -> int:
        return author.api.create_review(author.api.create_movie())

    folder = tmp_path_factory.mktemp("stock-clients")
    with (
        notifier_beside(full_deployment, folder) as notifier,
        Listeners([notifier.url], [listener(name, room) for name in NAMES], folder) as listeners,
    ):
        listeners.wait_until_inside(HEARD_SECONDS)
        written = [write_review()]
        wait_until_all_heard(listeners, written[-1])
        notifier.kill()
        written.append(write_review())
        wait_until(lambda: len(listeners.outside()) == len(NAMES), HEARD_SECONDS, "everyone notices")
        notifier.start()
        listeners.wait_until_inside(HEARD_SECONDS)
        written.append(write_review())
        wait_until_all_heard(listeners, written[-1])
        yield Story(listeners, room, written)


@contextmanager
def notifier_beside(deployment: FullDeployment, folder: Path) -> Iterator[Notifier]:
    notifier = Notifier(deployment, folder)
    try:
        notifier.start()
        yield notifier
    finally:
        notifier.stop()


def listener(name: str, room: str) -> Listener:
    language, transport = name.split(", ")
    return Listener(name, language, 0, [room], TRANSPORTS[transport][0])


def wait_until_all_heard(listeners: Listeners, review: int) -> None:
    def heard() -> bool:
        return all(review in (each.review for each in heard_in(log)) for log in listeners.logs.values())

    wait_until(heard, HEARD_SECONDS, f"every listener hears of review {review}")


def heard_in(log: list[Record]) -> list[Heard]:
    return [record for record in log if isinstance(record, Heard)]


@pytest.mark.parametrize("name", NAMES)
def test_a_stock_client_comes_back_by_itself_and_has_missed_nothing(story: Story, name: str) -> None:
    log = story.listeners.logs[name, story.room]
    heard = heard_in(log)
    assert [each.review for each in heard] == story.reviews
    asked = [record.last for record in log if isinstance(record, Asked)]
    assert asked == [None, heard[0].event]
    assert [record.recovered for record in log if isinstance(record, Answered)] == [False, True]
    assert story.listeners.given_up == []


@pytest.mark.parametrize("name", NAMES)
def test_a_stock_client_speaks_the_transport_that_it_is_to(story: Story, name: str) -> None:
    spoken = TRANSPORTS[name.partition(", ")[2]][1]
    assert spoken == story.listeners.transports[name][-1]
