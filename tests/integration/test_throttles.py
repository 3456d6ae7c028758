"""Throttles, as the defaults have them, on two gateways that share a Redis."""

from __future__ import annotations

import http.client
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
import redis

from tests.clients import PASSWORD, Account, sign_up
from tests.integration.connections import another_gateway
from tests.platforms import FullDeployment

DEFAULTS = {
    "THROTTLE_READS": "6000 per minute",
    "THROTTLE_WRITES": "300 per minute",
    "THROTTLE_SIGN_INS": "60 per minute",
    "THROTTLE_REGISTRATIONS": "30 per 10 minutes",
    "THROTTLE_GUESSES": "10 per 15 minutes",
    "THROTTLE_ACCOUNT_GUESSES": "100 per hour",
    "THROTTLE_HASHES": "4",
}
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Client:
    """Somebody at an address of the loopback network."""

    gateway: str
    address: str = "127.0.0.1"
    token: str = ""

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(
            self.gateway.removeprefix("http://"), timeout=30, source_address=(self.address, 0)
        )
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        content = None if body is None else orjson.dumps(body)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, content, JSON | names)
        response = connection.getresponse()
        raw = response.read()
        connection.close()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, orjson.loads(raw))

    def sign_in(self, email: str, password: str = "the wrong one") -> Answer:
        return self.ask("POST", "/api/auth/login", {"email": email, "password": password})


@pytest.fixture(scope="module")
def gateways(full_deployment: FullDeployment) -> Iterator[list[str]]:
    with (
        another_gateway(full_deployment, **DEFAULTS) as first,
        another_gateway(full_deployment, **DEFAULTS) as second,
    ):
        for gateway in (first, second):
            gateway.wait_for("/health/ready")
        yield [first.url, second.url]


@pytest.fixture(autouse=True)
def _fresh(full_deployment: FullDeployment) -> None:
    redis.Redis.from_url(full_deployment.servers.redis).flushall()


@pytest.fixture
def account(full_deployment: FullDeployment) -> Account:
    return sign_up(full_deployment.gateways[0])


def assert_too_many(answer: Answer) -> None:
    assert answer.status == 429
    assert set(answer.body) == {"message", "request_id"}
    assert answer.headers["x-request-id"] == answer.body["request_id"]
    assert 1 <= int(answer.headers["retry-after"]) <= 3600
    assert answer.headers["ratelimit-policy"].startswith('"')


def test_a_hundred_wrong_passwords_are_ten_guesses(gateways: list[str], account: Account) -> None:
    answers = [Client(gateways[number % 2], "127.0.0.2").sign_in(account.email) for number in range(40)]
    assert [each.status for each in answers] == [401] * 10 + [429] * 30
    assert_too_many(answers[-1])
    right = Client(gateways[0], "127.0.0.2").sign_in(account.email, PASSWORD)
    assert_too_many(right)  # the guesser learns nothing by the right one


def test_the_owner_is_not_locked_out(gateways: list[str], account: Account) -> None:
    for number in range(20):
        Client(gateways[number % 2], "127.0.0.2").sign_in(account.email)
    assert Client(gateways[0], "127.0.0.3").sign_in(account.email, PASSWORD).status == 200


def test_nor_by_guessers_everywhere(gateways: list[str], account: Account) -> None:
    assert Client(gateways[0], "127.0.0.3").sign_in(account.email, PASSWORD).status == 200
    statuses: Counter[int] = Counter()
    for number in range(14):
        guesser = Client(gateways[0], f"127.0.1.{number + 1}")
        statuses.update(guesser.sign_in(account.email).status for _ in range(11))
    # Ten of each until there were a hundred, then three.
    assert statuses[401] == 100 + 4 * 3
    # At home as ever: two typos more than the others have.
    home = Client(gateways[1], "127.0.0.3")
    assert [home.sign_in(account.email).status for _ in range(5)] == [401] * 5
    assert home.sign_in(account.email, PASSWORD).status == 200
    # And at a new place.
    assert Client(gateways[1], "127.0.0.4").sign_in(account.email, PASSWORD).status == 200


def test_an_unknown_address_is_told_the_same(gateways: list[str], account: Account) -> None:
    def told(email: str) -> list[tuple[int, object, str]]:
        client = Client(gateways[0], "127.0.0.5")
        answers = [client.sign_in(email) for _ in range(12)]
        return [(each.status, each.body["message"], each.headers["ratelimit-policy"]) for each in answers]

    assert told(account.email) == told(f"nobody-{uuid.uuid4().hex}@example.com")


@pytest.mark.parametrize(
    "variant",
    [
        *[str.upper, lambda email: f"  {email} ", str.title, lambda email: email.replace(".", "\u3002")],
        *[lambda email: email.replace("example", "ｅｘample"), lambda email: email.replace("u", "ｕ")],
    ],
)
def test_spelling_an_address_otherwise_buys_no_guesses(
    gateways: list[str], account: Account, variant: Any
) -> None:
    client = Client(gateways[0], "127.0.0.6")
    for _ in range(10):
        client.sign_in(account.email)
    assert client.sign_in(variant(account.email)).status == 429


def test_guesses_at_once_are_no_more(gateways: list[str], account: Account) -> None:
    statuses: Counter[int] = Counter()

    def guess(gateway: str) -> None:
        for _ in range(3):
            statuses[Client(gateway, "127.0.0.7").sign_in(account.email).status] += 1

    threads = [threading.Thread(target=guess, args=[gateways[0]]) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {401, 429}
    assert statuses[401] <= 10


def test_a_right_password_forgets_the_wrong_ones(gateways: list[str], account: Account) -> None:
    client = Client(gateways[0], "127.0.0.8")
    for _ in range(3):
        assert [client.sign_in(account.email).status for _ in range(6)] == [401] * 6
        assert client.sign_in(account.email, PASSWORD).status == 200


def test_sign_ins_of_one_address_are_throttled_whoever_it_asks_for(gateways: list[str]) -> None:
    answers = [
        Client(gateways[number % 2], "127.0.0.9").sign_in(f"user-{number}@example.com")
        for number in range(65)
    ]
    assert [each.status for each in answers] == [401] * 60 + [429] * 5
    assert_too_many(answers[-1])


def test_registrations_of_one_address_are_throttled(gateways: list[str]) -> None:
    def register(number: int, address: str) -> Answer:
        name = f"user-{uuid.uuid4().hex[:12]}"
        body = {"username": name, "email": f"{name}@example.com"}
        body |= {"password": PASSWORD, "confirm_password": PASSWORD}
        return Client(gateways[number % 2], address).ask("POST", "/api/auth/register", body)

    answers = [register(number, "127.0.0.10") for number in range(40)]
    assert [each.status for each in answers] == [201] * 30 + [429] * 10
    assert_too_many(answers[-1])
    assert register(0, "127.0.0.11").status == 201


def test_wrong_current_passwords_are_guesses_too(gateways: list[str], account: Account) -> None:
    def change(number: int, current: str) -> Answer:
        client = Client(gateways[number % 2], f"127.0.2.{number + 1}", account.token)
        return client.ask(
            "PATCH", "/api/auth/me", {"password": "another good one", "current_password": current}
        )

    answers = [change(number, "the wrong one") for number in range(30)]
    assert [each.status for each in answers] == [400] * 10 + [429] * 20
    assert_too_many(answers[-1])
    assert change(30, PASSWORD).status == 429
    # The rest of the account works, and so does signing in.
    assert Client(gateways[0], "127.0.0.1", account.token).ask("GET", "/api/auth/me").status == 200
    assert Client(gateways[0], "127.0.0.12").sign_in(account.email, PASSWORD).status == 200


def test_wrong_passwords_for_the_end_of_an_account_are_guesses_too(
    gateways: list[str], account: Account
) -> None:
    client = Client(gateways[0], "127.0.0.13", account.token)
    body = {"current_password": "the wrong one"}
    answers = [client.ask("DELETE", "/api/auth/me", body).status for _ in range(12)]
    assert answers == [400] * 10 + [429] * 2


def test_writes_of_one_user_are_throttled_at_all_gateways_and_addresses(
    gateways: list[str], account: Account
) -> None:
    first = Client(gateways[0], token=account.token).ask("POST", "/api/movies", {"title": "The first"})
    movie = first.body["id"]

    def write(number: int) -> Answer:
        client = Client(gateways[number % 2], f"127.0.3.{number % 50 + 1}", account.token)
        return client.ask("PUT", f"/api/movies/{movie}", {"genre": f"Genre {number}"})

    statuses = Counter(write(number).status for number in range(310))
    assert statuses == {200: 299, 429: 11}
    assert_too_many(write(0))
    other = sign_up(account.api.base)
    assert Client(gateways[0], token=other.token).ask("POST", "/api/movies", {"title": "X"}).status == 201


def test_a_repetition_is_no_other_write(gateways: list[str], account: Account) -> None:
    client = Client(gateways[0], token=account.token)
    key = uuid.uuid4().hex
    answers = [client.ask("POST", "/api/movies", {"title": "X"}, Idempotency_Key=key) for _ in range(5)]
    assert len({each.body["id"] for each in answers}) == 1
    assert '"writes";r=299' in answers[0].headers["ratelimit"]
    assert all(each.headers["ratelimit"].startswith('"reads"') for each in answers[1:])
    assert '"writes";r=298' in client.ask("POST", "/api/movies", {"title": "Y"}).headers["ratelimit"]


def test_reads_of_one_address_are_throttled_and_health_never(full_deployment: FullDeployment) -> None:
    with another_gateway(full_deployment, THROTTLE_READS="20 per minute") as gateway:
        gateway.wait_for("/health/ready")
        client = Client(gateway.url, "127.0.0.13")
        answers = [client.ask("GET", "/api/movies?limit=1") for _ in range(25)]
        assert [each.status for each in answers] == [200] * 20 + [429] * 5
        assert_too_many(answers[-1])
        assert answers[0].headers["ratelimit-policy"] == '"reads";q=20;w=60'
        assert answers[0].headers["ratelimit"].startswith('"reads";r=19;t=')
        assert client.ask("POST", "/api/movies", {"title": "nobody's"}).status == 429
        for method, path in (("GET", "/nothing"), ("PATCH", "/api/movies"), ("OPTIONS", "/api/movies")):
            assert_too_many(client.ask(method, path))
        for path in ("/health/live", "/health/ready", "/api/movies/status", "/.well-known/jwks.json"):
            assert client.ask("GET", path).status == 200
        assert Client(gateway.url, "127.0.0.14").ask("GET", "/api/movies?limit=1").status == 200


def test_what_there_is_not_counts_as_reading(gateways: list[str]) -> None:
    client = Client(gateways[0], "127.0.0.17")
    answers = [client.ask("GET", "/nothing"), client.ask("DELETE", "/api/auth/login")]
    assert [each.status for each in answers] == [404, 405]
    assert [each.headers["ratelimit"].split(";t=")[0] for each in answers] == [
        '"reads";r=5999',
        '"reads";r=5998',
    ]


def test_without_redis_each_gateway_counts_for_itself(
    full_deployment: FullDeployment, account: Account
) -> None:
    with another_gateway(full_deployment, **DEFAULTS, REDIS_URL="redis://127.0.0.1:1") as gateway:
        gateway.wait_for("/health/ready")
        client = Client(gateway.url, "127.0.0.15")
        answers = [client.sign_in(account.email).status for _ in range(12)]
        assert answers == [401] * 10 + [429] * 2


def test_redis_holds_nobodys_address(
    gateways: list[str], account: Account, full_deployment: FullDeployment
) -> None:
    Client(gateways[0], "127.0.0.16").sign_in(account.email)
    Client(gateways[0], "127.0.0.16").sign_in(account.email, PASSWORD)
    store = redis.Redis.from_url(full_deployment.servers.redis)
    keys = [key.decode() for key in store.scan_iter("*throttle*")]
    assert keys
    assert not [key for key in keys if "@" in key or account.username in key]
    assert all(store.ttl(key) > 0 for key in keys)
