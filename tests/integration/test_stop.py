"""SIGTERM: the front doors close first, what is in hand is finished, and no client sees an error."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.clients import Account, Api, Listener, sign_up
from tests.integration.connections import Answer, Connection, Gateway, another_gateway, frozen
from tests.integration.notifiers import another_notifier
from tests.platforms import FullDeployment
from tests.processes import PROGRAMS, free_port, wait_until

CLIENTS = 16
PAUSE_SECONDS = 0.03
SETTINGS = {"GATEWAY_STOP_GRACE": "1", "GATEWAY_START_TIMEOUT": "0.1"}


@dataclass
class Stop:
    """What became of a gateway and of its connections after SIGTERM."""

    ready_before: int
    ready: Answer
    served: Answer
    in_flight: Answer
    idle_ended: bool
    half_a_body: Answer
    code: int


@pytest.fixture(scope="module")
def stop(full_deployment: FullDeployment) -> Stop:
    account = sign_up(full_deployment.gateways[0])
    movie = account.api.create_movie()
    with ExitStack() as stack:
        # It starts while auth stands still, so it cannot check who signs in.
        with frozen(full_deployment, "auth"):
            gateway = stack.enter_context(another_gateway(full_deployment, **SETTINGS))
            gateway.wait_for("/health/live")
            ready_before = gateway.status("/health/ready")
        gateway.wait_for("/health/ready")

        probe, asker, idle, busy, slow = (stack.enter_context(Connection(gateway.url)) for _ in range(5))
        for connection in (probe, asker, idle, busy, slow):
            assert connection.ask("/health/live").answer().status == 200
        with frozen(full_deployment, "movies"):
            busy.ask(f"/api/movies/{movie}")
            slow.ask("/api/auth/login", b"Content-Length: 100\r\n", "POST").send(b"{")
            gateway.process.signal(signal.SIGTERM)
            wait_until(lambda: gateway.status("/health/live") == 0, 5, "the listener closes")
            ready = probe.ask("/health/ready").answer()
            served = asker.ask("/api/unknown").answer()
        in_flight = busy.answer()
        idle_ended = idle.ended()
        half_a_body = slow.answer()
        code = gateway.process.wait()
        return Stop(ready_before, ready, served, in_flight, idle_ended, half_a_body, code)


def test_a_gateway_that_cannot_check_who_signs_in_is_not_ready(stop: Stop) -> None:
    assert stop.ready_before == 503


def test_readiness_fails_at_once(stop: Stop) -> None:
    assert stop.ready.status == 503
    assert stop.ready.body["message"] == "The gateway is stopping"
    assert stop.ready.body["request_id"] == stop.ready.headers["x-request-id"]


def test_what_comes_on_an_open_connection_is_served_and_the_connection_ends(stop: Stop) -> None:
    assert (stop.served.status, stop.served.closes) == (404, True)


def test_a_request_in_flight_is_answered_and_the_connection_ends(stop: Stop) -> None:
    assert (stop.in_flight.status, stop.in_flight.closes) == (200, True)


def test_an_idle_connection_ends_without_a_reset(stop: Stop) -> None:
    assert stop.idle_ended


def test_a_body_that_never_comes_does_not_hold_the_exit(stop: Stop) -> None:
    assert (stop.half_a_body.status, stop.code) == (400, 0)


@dataclass
class Load:
    """Clients that ask all the time, each on a connection that it keeps for as long as it is let.

    One goes to the next gateway where nobody listens. Everything else that goes wrong is an error.
    """

    addresses: list[tuple[str, int]]
    path: str
    token: str
    answers: int = 0
    errors: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self.ended.wait(PAUSE_SECONDS):
            try:
                connection = connection or self._connect()
                if not self._ask(connection):
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.errors.append(repr(error))
                connection = None
        if connection:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> bool:
        """Whether the connection may be used again."""
        connection.request("PUT", self.path, headers={"Authorization": f"Bearer {self.token}"})
        response = connection.getresponse()
        body = json.loads(response.read())
        if response.status != 403:
            self.errors.append(f"{response.status} {body}")
        self.answers += 1
        return not response.will_close

    def _connect(self) -> http.client.HTTPConnection:
        for host, port in self.addresses:
            connection = http.client.HTTPConnection(host, port, timeout=20)
            try:
                connection.connect()
            except ConnectionRefusedError:
                continue
            return connection
        raise ConnectionError("nobody listens")


@pytest.fixture
def load(full_deployment: FullDeployment) -> Iterator[Load]:
    """Sixteen clients, half of them at home with each gateway; none can like a review of its own."""
    account: Account = sign_up(full_deployment.gateways[0])
    review = account.api.create_review(account.api.create_movie())
    urls = [urlsplit(url) for url in full_deployment.gateways]
    addresses = [(str(url.hostname), int(url.port or 0)) for url in urls]
    started = Load(addresses, f"/api/reviews/{review}/like", account.token)
    other = Load(addresses[::-1], started.path, started.token, errors=started.errors, ended=started.ended)
    threads = [threading.Thread(target=each.run) for each in [started, other] * (CLIENTS // 2)]
    for thread in threads:
        thread.start()
    try:
        yield started
    finally:
        started.ended.set()
        for thread in threads:
            thread.join()


def test_a_rolling_restart_of_the_gateways_shows_no_client_an_error(
    full_deployment: FullDeployment, load: Load
) -> None:
    wait_until(lambda: load.answers > CLIENTS, 10, "the clients are served")
    for number, url in enumerate(full_deployment.gateways):
        process = next(each for each in full_deployment.processes if each.name == f"gateway-{number}")
        gateway = Gateway(url, process)
        process.terminate()
        wait_until(lambda gateway=gateway: gateway.status("/health/live") == 0, 5, "the listener closes")
        settings = {"GATEWAY_PORT": url.rpartition(":")[2]}
        successor = Gateway(url, full_deployment.start_service("gateway", number, settings))
        assert process.wait() == 0
        full_deployment.processes.remove(process)
        successor.wait_for("/health/ready")
    answered = load.answers
    wait_until(lambda: load.answers > answered + CLIENTS, 10, "the clients are still served")
    assert load.errors == []


def test_before_the_port_closes_a_gateway_serves_on_and_says_that_it_is_stopping(
    full_deployment: FullDeployment,
) -> None:
    account = sign_up(full_deployment.gateways[0])
    port = free_port()
    settings = {"GATEWAY_PORT": str(port), "DRAIN_SECONDS": "600", "REVOCATION_REFRESH": "600"}
    gateway = Gateway(f"http://127.0.0.1:{port}", full_deployment.start_service("gateway", port, settings))
    try:
        gateway.wait_for("/health/ready")
        here = Api(gateway.url, account.token)
        gateway.process.terminate()
        wait_until(lambda: gateway.status("/health/ready") == 503, 20, "it says so to whoever connects")
        assert here.get("/health/ready").json()["message"] == "The gateway is stopping"
        assert here.get("/api/auth/me").status_code == 200
        # What it must hear it goes on hearing.
        assert account.api.post("/api/auth/logout").status_code == 200
        wait_until(lambda: here.get("/api/auth/me").status_code == 401, 20, "the token is refused")
    finally:
        gateway.process.end()
        full_deployment.processes.remove(gateway.process)


def test_before_the_port_closes_a_notifier_lets_sockets_in_and_says_that_it_is_stopping(
    full_deployment: FullDeployment,
) -> None:
    port = free_port()
    settings = {"NOTIFIER_PORT": str(port), "DRAIN_SECONDS": "600"}
    command: list[str | Path] = [PROGRAMS / "python", "-m", "notifications"]
    process = full_deployment.start_process(f"notifications-{port}", command, settings)
    notifier = Gateway(f"http://127.0.0.1:{port}", process)
    try:
        notifier.wait_for("/health/ready")
        process.terminate()
        wait_until(lambda: notifier.status("/health/ready") == 503, 20, "it says so to whoever connects")
        with Listener(notifier.url) as listener:
            assert "error" not in listener.call("join_notification", user_id="guest", room_id="all")
    finally:
        process.end()
        full_deployment.processes.remove(process)


@pytest.mark.parametrize("backlog", [None, 5], ids=["gone", "frozen"])
def test_a_broker_that_does_not_answer_does_not_hold_a_notifiers_exit(
    full_deployment: FullDeployment, backlog: int | None
) -> None:
    with socket.socket() as broker:
        broker.bind(("127.0.0.1", 0))
        if backlog:
            broker.listen(backlog)
        amqp = f"amqp://guest:guest@127.0.0.1:{broker.getsockname()[1]}//"
        with another_notifier(full_deployment, "/health/live", AMQP_URI=amqp) as (process, _):
            process.terminate()
            assert process.wait(10) == 0
