"""RPC on a real broker: deadlines, typed errors, and messages that would end a stock Nameko service."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kombu
import orjson
import pytest
from nameko.exceptions import IncorrectSignature, MalformedRequest, MethodNotFound
from nameko.standalone.rpc import ClusterRpcProxy

from broker.errors import DeadlineExceeded, ServiceUnavailable
from broker.rpc_client import RPC_EXCHANGE, call
from tests.chaos.stage import Stage
from tests.processes import PROGRAMS, Process, wait_until
from tests.servers import RabbitMq

START_SECONDS = 20
SERVICES = ("Fragile", "Caller")


@dataclass
class Services:
    """The services of `tests.integration.services`, each a process, on a RabbitMQ that a test may hurt."""

    amqp: str
    rabbitmq: RabbitMq
    folder: Path
    processes: dict[str, Process]

    def start(self, name: str, **settings: str) -> None:
        command = [
            PROGRAMS / "nameko",
            "run",
            "--config",
            "config.yaml",
            f"tests.integration.services:{name}",
        ]
        environment = {"AMQP_URI": self.amqp, "RPC_TIMEOUT": "1", **settings}
        self.processes[name] = Process(name, command, environment, self.folder)

    def call(self, method: str, *args: Any, seconds: float = 10) -> Any:
        with kombu.Connection(self.amqp) as connection:
            return call(connection, method, *args, seconds=seconds)

    def relay(self, service: str, method: str, *args: Any) -> Any:
        """What the caller's proxy gets for it."""
        return self.call("caller.relay", service, method, list(args))

    def wait_until_answering(self) -> None:
        wait_until(self._answers, START_SECONDS, "the services answer")

    def answers(self, service: str, seconds: float = 1.5) -> bool:
        try:
            return bool(self.call(f"{service}.counts", seconds=seconds))
        except (DeadlineExceeded, ServiceUnavailable):
            return False

    def _answers(self) -> bool:
        for process in self.processes.values():
            process.check()
        try:
            # A call that comes before the service is never answered.
            return bool(self.call("caller.relay", "fragile", "echo", [True], seconds=1.5))
        except (DeadlineExceeded, ServiceUnavailable):
            return False

    def publish(self, routing_key: str, body: bytes, **properties: Any) -> None:
        with kombu.Connection(self.amqp) as connection:
            exchange = kombu.Exchange("" if routing_key.startswith("evt-") else RPC_EXCHANGE.name)
            producer = kombu.Producer(connection.channel(), exchange, auto_declare=False)
            producer.publish(body, routing_key=routing_key, **properties)


@pytest.fixture(scope="module")
def services(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    running = Services(stage.rabbitmq.url, stage.rabbitmq, tmp_path_factory.mktemp("services"), {})
    try:
        for name in SERVICES:
            running.start(name)
        running.wait_until_answering()
        yield running
    finally:
        for process in running.processes.values():
            process.terminate()
        codes = {name: process.stop() for name, process in running.processes.items()}
    assert set(codes.values()) == {0}, codes


def test_stock_nameko_calls_our_services(services: Services) -> None:
    with ClusterRpcProxy({"AMQP_URI": services.amqp}, timeout=10) as stock:
        assert stock.fragile.echo({"any": ["JSON", 1, None]}) == {"any": ["JSON", 1, None]}


def test_no_answer_within_the_deadline_is_deadline_exceeded(services: Services) -> None:
    with pytest.raises(DeadlineExceeded):
        services.relay("fragile", "slow", 1.5)
    assert services.call("caller.waiting") == 0


def test_a_service_that_never_ran_is_unavailable(services: Services) -> None:
    with pytest.raises(ServiceUnavailable):
        services.relay("nobody", "echo", 1)
    assert services.call("caller.waiting") == 0


def test_what_is_no_json_is_the_services_error_and_nothing_else(services: Services) -> None:
    with pytest.raises(Exception, match="UnserializableValueError"):
        services.relay("fragile", "no_json")
    with pytest.raises(MethodNotFound):
        services.relay("fragile", "nothing")
    with pytest.raises(IncorrectSignature):
        services.relay("fragile", "echo", 1, 2)


GOOD = b'{"args": [1], "kwargs": {}}'


@pytest.mark.parametrize(
    ("body", "properties"),
    [
        (GOOD, {"content_type": "application/json"}),  # no reply_to
        (GOOD, {"content_type": "", "reply_to": "x"}),
        (GOOD, {"content_type": "application/x-python-serialize", "reply_to": "x"}),
        (b"{", {"content_type": "application/json", "reply_to": "x"}),
        (b'"\xff"', {"content_type": "application/json", "reply_to": "x"}),
        (b"[]", {"content_type": "application/json", "reply_to": "x"}),
        (b'{"args": 1, "kwargs": {}}', {"content_type": "application/json", "reply_to": "x"}),
        (b'{"args": [], "kwargs": []}', {"content_type": "application/json", "reply_to": "x"}),
        (GOOD, {"content_type": "application/json", "headers": {"nameko.call_id_stack": 5}}),
        (GOOD, {"content_type": "application/json", "headers": {"nameko.call_id_stack": [5]}}),
        (GOOD, {"content_type": "application/json", "reply_to": "amq.rabbitmq.reply-to.gone"}),
        (GOOD, {"content_type": "application/json", "headers": {"compression": "gzip"}}),
    ],
)
def test_no_message_ends_a_service(services: Services, body: bytes, properties: dict[str, Any]) -> None:
    services.publish("fragile.echo", body, **properties)
    assert services.relay("fragile", "echo", "alive") == "alive"
    services.processes["Fragile"].check()


def test_a_call_given_up_is_not_carried_out_later(services: Services) -> None:
    before = services.call("fragile.counts")["calls"].get("slow", 0)
    services.processes["Fragile"].signal(signal.SIGKILL)
    services.processes["Fragile"].wait()
    with pytest.raises(DeadlineExceeded):
        services.relay("fragile", "slow", 0)
    services.start("Fragile")
    services.wait_until_answering()
    assert before >= 1
    assert services.call("fragile.counts")["calls"].get("slow", 0) == 0


def test_heavy_calls_leave_half_of_the_workers_to_the_others(services: Services) -> None:
    outcomes: list[str] = []

    def heavy() -> None:
        try:
            outcomes.append(services.call("fragile.heavy", 1.5))
        except ServiceUnavailable as error:
            outcomes.append(error.message)

    threads = [threading.Thread(target=heavy) for _ in range(13)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(outcomes) == 3, 5, "those past the tenth are refused, before any other is done")
    assert services.relay("fragile", "echo", "at once") == "at once"
    for thread in threads:
        thread.join()
    assert Counter(outcomes) == {
        "at last": 10,
        "There is too much of this to do at the moment; try again soon": 3,
    }
    assert services.call("fragile.heavy", 0) == "at last"


def test_a_call_that_waited_too_long_for_a_worker_is_dropped_unread(services: Services) -> None:
    services.start("Narrow", MAX_WORKERS="1")
    wait_until(lambda: services.answers("narrow"), START_SECONDS, "the service answers")
    services.call("narrow.echo", "somebody waits for this")
    event = {
        "specversion": "1.0",
        "id": "the-one-at-work",
        "source": "/elsewhere",
        "type": "happened",
        "time": "2026-01-01T00:00:00Z",
        "data": {"seconds": 1.5},
    }
    services.publish(
        "evt-elsewhere-happened--narrow.handle_happened", orjson.dumps(event), content_type="application/json"
    )
    wait_until(lambda: not services.answers("narrow", 0.2), 5, "the only worker is at work")
    with pytest.raises(DeadlineExceeded):
        services.call("narrow.echo", "nobody waits for this", seconds=0.5)
    counts = services.call("narrow.counts")  # waits for its turn
    assert "the-one-at-work" in counts["handled"]
    assert counts["calls"]["echo"] == 1


def test_a_call_of_too_many_bytes_is_malformed(services: Services) -> None:
    with pytest.raises(MalformedRequest):
        services.call("fragile.echo", "x" * (2 * 2**20))


def test_a_reply_that_cannot_be_sent_is_logged_and_survived(services: Services) -> None:
    with kombu.Connection(services.amqp) as connection:
        producer = kombu.Producer(connection.channel(), RPC_EXCHANGE)
        producer.publish({"args": [1.0], "kwargs": {}}, routing_key="fragile.slow", reply_to="x")
        wait_until(
            lambda: services.call("fragile.counts")["calls"].get("slow", 0) > 0, 5, "the call is at work"
        )
    services.rabbitmq.kill()
    log = services.processes["Fragile"].log
    wait_until(lambda: "could not be sent" in log.read_text(), 5, "the reply is given up")
    services.rabbitmq.start()
    services.wait_until_answering()
