"""How the broker and the services behind the gateway are; each service is asked for its `status` at times."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import eventlet
from nameko.exceptions import MethodNotFound
from nameko.extensions import DependencyProvider

from broker import config
from broker.errors import PlatformError
from broker.readiness import Trouble
from broker.rpc import RpcClient
from broker.rpc_client import consumers_of, open_connection

SERVICES = ("auth", "movies")
ASK_SECONDS = 1.0  # between two questions
ANSWER_SECONDS = 2.0
LOOK_AGAIN_SECONDS = 0.1  # until the broker is there for the first question
SILENT_SECONDS = 10.0  # of a service that answers nothing: it may be restarting, or very busy
BROKER_SECONDS = 3.0
MOST_SAID = 200  # characters of a service's words
# A queue that is consumed, and no answers: they may go where nobody of this release listens.
STANDS_STILL = (
    "it takes its calls and answers none: it stands still, or it is of a release too old for this gateway; "
    "start the services of this release first"
)
NOT_THERE = "nobody takes its calls: start it"

Ask = Callable[[], Mapping[str, Any]]


class Part:
    """One service. `ask` is its `status()`, `is_consuming` whether anybody takes its calls at the broker."""

    def __init__(self, name: str, ask: Ask, is_consuming: Callable[[], bool | None]) -> None:
        self.trouble: Trouble | None = Trouble(f"The {name} service was not asked yet")
        self._name = name
        self._ask = ask
        self._is_consuming = is_consuming
        self._answered_at = time.monotonic()
        self.was_asked = False

    def look(self) -> None:
        """Ask it, and keep what it says."""
        self.was_asked = True
        try:
            status = self._ask()
            self.trouble = self._read(status)
        except MethodNotFound:
            self.trouble = None  # it answers
        except PlatformError as error:
            self._keep_silence(error)
            return
        except Exception as error:  # whatever it answers, nothing here may end
            self.trouble = Trouble(f"The {self._name} service does not say how it is", type(error).__name__)
        self._answered_at = time.monotonic()

    def _read(self, status: Mapping[str, Any]) -> Trouble | None:
        if status.get("status") == "OK":
            return None
        why = str(status.get("error") or "it does not say why")[:MOST_SAID]
        return Trouble(f"The {self._name} service cannot serve: {why}", "its log says more")

    def _keep_silence(self, error: PlatformError) -> None:
        if time.monotonic() - self._answered_at < SILENT_SECONDS:
            self.trouble = None
            return
        takes = self._is_consuming()
        detail = str(error) if takes is None else STANDS_STILL if takes else NOT_THERE
        self.trouble = Trouble(f"The {self._name} service does not answer", detail)


class Parts(DependencyProvider):
    """Asks all services in the background. It injects nothing; readiness asks it."""

    rank = 1  # before what comes of a service that cannot serve
    client = RpcClient()

    def setup(self) -> None:
        self._settings = config.settings(self.container.config)
        self._parts = [
            Part(
                name,
                partial(self.client.call, f"{name}.status", [], {}, ANSWER_SECONDS),
                partial(self._is_consuming, f"rpc-{name}"),
            )
            for name in SERVICES
        ]

    def start(self) -> None:
        for part in self._parts:
            self.container.spawn_managed_thread(partial(self._watch, part), identifier="services behind us")

    def why_not_ready(self) -> Trouble | str | None:
        link = self.client.link
        return (
            link.why_not_open()
            or link.trouble
            or next((part.trouble for part in self._parts if part.trouble), None)
        )

    def _watch(self, part: Part) -> None:
        while True:
            if self.client.link.is_open:
                part.look()
            eventlet.sleep(ASK_SECONDS if part.was_asked else LOOK_AGAIN_SECONDS)

    def _is_consuming(self, queue: str) -> bool | None:
        """None where the broker does not say."""
        if not self.client.link.speaks_amqp:
            return None
        broker = open_connection(self._settings.AMQP_URI, self._settings.TRANSPORT_OPTIONS)
        with suppress(Exception), eventlet.Timeout(BROKER_SECONDS, TimeoutError), broker as connection:
            return consumers_of(connection, queue) > 0
        return None
