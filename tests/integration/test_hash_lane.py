"""Hashing has a lane of its own: who floods the sign-in is refused at once, and slows nothing else."""

from __future__ import annotations

import statistics
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection

import kombu
import orjson
import pytest

from broker.rpc_client import RPC_EXCHANGE
from tests.clients import Account, Api, sign_in, sign_up
from tests.platforms import Embedded, FullDeployment, Platform, running
from tests.processes import wait_until
from tests.servers import PrivateServers

# What one hash costs is as people have it; shares, which would end the flood before it came to the lane, are
# out of its way.
REAL_COST = {
    "GATEWAY_ADDRESS_REQUESTS": "1000",
    "GATEWAY_ADDRESS_CONNECTIONS": "1000",
    "PASSWORD_COST": "32768",
}
FLOOD_SECONDS = 4.0
SLOWEST_SECONDS = 1.0  # of a cheap call beside a flood, on a machine that others use too
NORMAL_SECONDS = 2.0  # after the flood's end
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullDeployment]:
    """On servers of their own: another auth on the same broker would take half of the flood."""
    with PrivateServers(environment={}) as servers:
        deployment = FullDeployment(servers.urls, tmp_path_factory.mktemp("hashes"))
        deployment.environment |= REAL_COST
        with running(deployment):
            yield deployment


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    platform = Embedded(tmp_path_factory.mktemp("hashes"))
    platform.environment |= REAL_COST
    with running(platform):
        yield platform


@pytest.fixture(scope="module", params=["one_process", "parts"])
def busy(request: pytest.FixtureRequest) -> Platform:
    chosen: Platform = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(scope="module")
def account(busy: Platform) -> Account:
    return sign_up(busy.gateways[0])


class Flood:
    """Connections that try to sign in, each again as soon as it is answered, and from an address of its own:
    of one address the gateway passes on one sign-in at a time.
    """

    def __init__(self, gateway: str, connections: int, email: str) -> None:
        self.answers: Counter[int] = Counter()
        self.retry_after: set[str | None] = set()
        self._address = gateway.removeprefix("http://")
        self._body = orjson.dumps({"email": email, "password": "not the right one"})
        self._over = threading.Event()
        addresses = [f"127.0.1.{number + 1}" for number in range(connections)]
        self._threads = [threading.Thread(target=self._ask, args=[each]) for each in addresses]

    def __enter__(self) -> Flood:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, address: str) -> None:
        connection = HTTPConnection(self._address, timeout=30, source_address=(address, 0))
        while not self._over.is_set():
            connection.request("POST", "/api/auth/login", self._body, JSON)
            answer = connection.getresponse()
            answer.read()
            self.answers[answer.status] += 1
            if answer.status == 503:
                self.retry_after.add(answer.headers["Retry-After"])
                self._over.wait(0.02)  # that the test's own threads leave a core to what is measured
        connection.close()


def seconds_of(api: Api, path: str) -> float:
    began = time.monotonic()
    assert api.get(path).status_code == 200, path
    return time.monotonic() - began


@pytest.mark.parametrize("connections", [40, 200])
def test_a_flood_of_sign_ins_slows_no_other_call_of_auth(
    busy: Platform, account: Account, connections: int
) -> None:
    cheap = ("/api/auth/me", f"/api/users/{account.id}", "/api/auth/status", "/.well-known/jwks.json")
    took: list[float] = []
    with Flood(busy.gateways[0], connections, account.email) as flood:
        wait_until(lambda: flood.answers[503] > 0, 10, "the lane is full")
        until = time.monotonic() + FLOOD_SECONDS
        while time.monotonic() < until:
            took += [seconds_of(account.api, path) for path in cheap]
    assert set(flood.answers) == {401, 503}
    assert flood.retry_after == {"1"}
    print(
        f"{connections}: {flood.answers}, median {statistics.median(took):.3f} s, slowest {max(took):.3f} s"
    )
    assert max(took) < SLOWEST_SECONDS, sorted(took)[-10:]
    began = time.monotonic()
    sign_in(busy.gateways[0], account.email)
    assert time.monotonic() - began < NORMAL_SECONDS


def test_registrations_and_new_passwords_use_the_same_lane(busy: Platform, account: Account) -> None:
    """None of them takes what is there for the rest: together they have half of the workers."""
    answers: Counter[int] = Counter()

    def register() -> None:
        name = f"user-{uuid.uuid4().hex[:12]}"
        body = {
            "username": name,
            "email": f"{name}@example.com",
            "password": "a long one",
            "confirm_password": "a long one",
        }
        answers[Api(busy.gateways[0]).post("/api/auth/register", body).status_code] += 1

    def change() -> None:
        body = {"password": "another long one", "current_password": "not the right one"}
        answers[account.api.patch("/api/auth/me", body).status_code] += 1

    threads = [threading.Thread(target=work) for work in (register, change) * 30]
    for thread in threads:
        thread.start()
    took = [seconds_of(Api(busy.gateways[0]), f"/api/users/{account.id}") for _ in range(10)]
    for thread in threads:
        thread.join()
    assert set(answers) == {201, 400, 503}
    assert max(took) < SLOWEST_SECONDS


@contextmanager
def replies(connection: kombu.Connection) -> Iterator[tuple[kombu.Channel, str, list[dict[str, object]]]]:
    heard: list[dict[str, object]] = []
    name = f"rpc.reply-{uuid.uuid4().hex}"
    queue = kombu.Queue(name, RPC_EXCHANGE, routing_key=name, exclusive=True, auto_delete=True)

    def receive(body: dict[str, object], message: kombu.Message) -> None:
        message.ack()
        heard.append(body)

    with connection.channel() as channel, kombu.Consumer(channel, [queue], callbacks=[receive]):
        yield channel, name, heard


def test_four_hundred_calls_at_once_are_answered_or_refused_within_a_second_or_two(
    parts: FullDeployment,
) -> None:
    """Past any gateway, as a service of an integrator's could send them."""
    account = sign_up(parts.gateways[0])
    with (
        kombu.Connection(parts.servers.amqp) as connection,
        replies(connection) as (channel, reply_to, heard),
    ):
        producer = kombu.Producer(channel, RPC_EXCHANGE)
        began = time.monotonic()
        for number in range(400):
            producer.publish(
                {"args": [{"email": account.email, "password": f"wrong {number}"}], "kwargs": {}},
                routing_key="auth.login",
                serializer="json",
                reply_to=reply_to,
                correlation_id=str(number),
                expiration=30,
            )
        assert seconds_of(account.api, "/api/auth/me") < SLOWEST_SECONDS
        while len(heard) < 400:
            connection.drain_events(timeout=10)
        assert time.monotonic() - began < 5
    kinds = Counter(reply["error"]["exc_type"] for reply in heard)  # type: ignore[index]
    assert set(kinds) <= {"Unauthenticated", "ServiceUnavailable"}
    assert kinds["Unauthenticated"] >= 1


def test_nobody_can_tell_an_unknown_address_by_the_time(busy: Platform, account: Account) -> None:
    def median(email: str) -> float:
        took = []
        for _ in range(7):
            began = time.monotonic()
            answer = Api(busy.gateways[0]).post("/api/auth/login", {"email": email, "password": "wrong one"})
            took.append(time.monotonic() - began)
            assert answer.status_code == 401
        return statistics.median(took)

    known, unknown = median(account.email), median(f"nobody-{uuid.uuid4().hex}@example.com")
    assert unknown == pytest.approx(known, rel=0.5)
