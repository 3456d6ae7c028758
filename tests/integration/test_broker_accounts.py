"""The platform with an account for each part, and integrators beside it with theirs."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aio_pika
import kombu
import pika
import pytest
from amqp.exceptions import NotAllowed

from broker.accounts import definitions, permissions
from broker.accounts.permissions import SERVICES
from broker.errors import PlatformError
from broker.rpc_client import call
from tests.clients import Api, sign_up
from tests.contract.listeners import listen
from tests.integration.broker_accounts import (
    PASSWORD,
    OwnAccounts,
    add_integrator,
    broker_with_accounts,
    servers_with,
    uri,
)
from tests.integration.readme import Program
from tests.platforms import running, wait_until_ready
from tests.processes import ROOT, run, wait_until
from tests.servers import RabbitMq

DEADLINE_SECONDS = 15
LOADED = "/etc/rabbitmq/definitions/"


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    with broker_with_accounts(tmp_path_factory.mktemp("accounts"), management=True) as rabbitmq:
        yield rabbitmq


@pytest.fixture(scope="module")
def platform(rabbitmq: RabbitMq, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnAccounts]:
    with servers_with(rabbitmq) as servers:
        deployment = OwnAccounts(servers, rabbitmq, tmp_path_factory.mktemp("own-accounts"), movies=2)
        with running(deployment):
            yield deployment


@pytest.fixture(scope="module")
def integrator(rabbitmq: RabbitMq, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The AMQP_URI of `digest`."""
    return add_integrator(rabbitmq, tmp_path_factory.mktemp("digest"), "digest")


# --- the parts


def test_a_review_is_written_and_heard_and_nothing_waits(platform: OwnAccounts) -> None:
    author = sign_up(platform.gateways[0])
    movie = author.api.create_movie()
    with listen(platform.notifiers[0], str(movie)) as listener:
        review = author.api.create_review(movie)
        assert listener.next("new_review")["review"]["id"] == review
    assert Api(platform.gateways[0]).get(f"/api/movies/{movie}").json()["review_count"] == 1
    for service in ("auth", "movies"):
        wait_until(lambda: backlog(platform, service) == 0, DEADLINE_SECONDS, f"the {service} outbox empties")  # noqa: B023


def backlog(platform: OwnAccounts, service: str) -> int:
    return int(platform.rpc(f"{service}.outbox")["waiting"])  # type: ignore[index]


def test_a_name_and_a_role_reach_every_part(platform: OwnAccounts) -> None:
    author = sign_up(platform.gateways[0])
    review = author.api.create_review(author.api.create_movie())
    name = f"{author.username}-x"
    assert author.change(username=name).status_code == 200
    shown = lambda: author.api.get(f"/api/reviews/{review}").json()["username"]  # noqa: E731
    wait_until(lambda: shown() == name, DEADLINE_SECONDS, "movies hears of the new name")
    platform.set_role(name, "admin")
    cleared = lambda: author.api.delete("/api/movies/cache/clear").status_code == 200  # noqa: E731
    wait_until(cleared, DEADLINE_SECONDS, "the gateway hears of the role")


def test_each_service_asks_itself_whether_it_is_well(platform: OwnAccounts, rabbitmq: RabbitMq) -> None:
    for service in ("auth", "movies"):
        command = [sys.executable, "-m", "broker.health", service]
        asked = run(command, {**platform.environment, "AMQP_URI": uri(rabbitmq, service)})
        assert (asked.returncode, asked.stdout) == (0, f"{service}: OK, database Connected\n")


def test_a_dead_letter_is_kept_listed_and_forgotten(platform: OwnAccounts) -> None:
    """An event that nobody can read, in the queue of a handler of movies."""
    with kombu.Connection(platform.servers.amqp) as operator:
        queue = "evt-auth-user_updated--movies.handle_user_updated"
        operator.SimpleQueue(queue, queue_opts={"durable": True}).put({"no": "event"})
    letters: list[Any] = []

    def listed() -> bool:
        letters[:] = platform.rpc("movies.dead_letters")  # type: ignore[call-overload]
        return bool(letters)

    wait_until(listed, DEADLINE_SECONDS, "it is a dead letter")
    assert [letter["event"] for letter in letters] == [{"no": "event"}]
    assert platform.rpc("movies.discard_dead_letters", letters[0]["id"]) == 1


@pytest.mark.parametrize("part", ["auth-0", "movies-0", "gateway-0", "notifications-0"])
def test_a_part_starts_again_on_what_is_there(platform: OwnAccounts, part: str) -> None:
    process = platform.process(part)
    process.terminate()
    assert process.stop() == 0
    platform.start_part(part)
    wait_until_ready(platform.gateways, platform.notifiers, platform.processes)
    author = sign_up(platform.gateways[0])
    movie = author.api.create_movie()
    with listen(platform.notifiers[0], str(movie)) as listener:
        author.api.create_review(movie)
        assert listener.next("new_review")["review"]["username"] == author.username


def test_nothing_that_a_part_does_is_refused(platform: OwnAccounts, rabbitmq: RabbitMq) -> None:
    """After all of the above; that the log would say so, the next test sees."""
    assert refused(rabbitmq) == set()


def test_a_service_cannot_make_admins(platform: OwnAccounts, rabbitmq: RabbitMq) -> None:
    nobody = sign_up(platform.gateways[0])
    for service in SERVICES:
        with kombu.Connection(uri(rabbitmq, service)) as connection, pytest.raises(PlatformError):
            call(connection, "auth.set_role", nobody.username, "admin", seconds=1)
    assert nobody.api.get("/api/auth/me").json()["role"] == "user"
    wait_until(lambda: refused(rabbitmq) == set(SERVICES), DEADLINE_SECONDS, "RabbitMQ logs it")


def refused(rabbitmq: RabbitMq) -> set[str]:
    """Whom RabbitMQ has refused something."""
    return set(re.findall(r"refused for user '(\w+)'", (rabbitmq.folder / "log").read_text(errors="replace")))


# --- integrators


def by_kombu(amqp_uri: str, queue: str, keys: dict[str, str], enough: Callable[[str], bool]) -> None:
    bindings = [
        kombu.binding(kombu.Exchange(name, type="topic", no_declare=True), routing_key=key)
        for name, key in keys.items()
    ]
    done: list[bool] = []

    def receive(body: Any, message: Any) -> None:
        message.ack()
        if enough(body["type"]):
            done.append(True)

    with (
        kombu.Connection(amqp_uri) as connection,
        connection.Consumer(kombu.Queue(queue, bindings=bindings), callbacks=[receive]),
    ):
        enough("ready")
        while not done:
            connection.drain_events(timeout=DEADLINE_SECONDS)


def by_pika(amqp_uri: str, queue: str, keys: dict[str, str], enough: Callable[[str], bool]) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(amqp_uri.removesuffix("//") + "/%2F"))
    channel = connection.channel()
    channel.queue_declare(queue, durable=True)
    for exchange, key in keys.items():
        channel.exchange_declare(exchange, passive=True)
        channel.queue_bind(queue, exchange, key)
    enough("ready")
    for method, _properties, body in channel.consume(queue, inactivity_timeout=DEADLINE_SECONDS):
        assert method is not None, "an event comes"
        channel.basic_ack(method.delivery_tag)
        if enough(json.loads(body)["type"]):
            break
    connection.close()


def by_aio_pika(amqp_uri: str, queue: str, keys: dict[str, str], enough: Callable[[str], bool]) -> None:
    async def consume() -> None:
        connection = await aio_pika.connect(amqp_uri.removesuffix("//") + "/%2F")
        async with connection, asyncio.timeout(DEADLINE_SECONDS):
            channel = await connection.channel()
            declared = await channel.declare_queue(queue, durable=True)
            for exchange, key in keys.items():
                await declared.bind(await channel.get_exchange(exchange), key)
            await asyncio.to_thread(enough, "ready")
            async with declared.iterator() as messages:
                async for message in messages:
                    await message.ack()
                    if enough(json.loads(message.body)["type"]):
                        return

    asyncio.run(consume())


@pytest.mark.parametrize("client", [by_kombu, by_pika, by_aio_pika])
def test_an_integrator_hears_both_exchanges_on_its_own_queue(
    platform: OwnAccounts, integrator: str, client: Callable[..., None]
) -> None:
    heard: list[str] = []

    def enough(event: str) -> bool:
        if event == "ready":
            author = sign_up(platform.gateways[0])
            author.api.create_review(author.api.create_movie())
            return False
        heard.append(event)
        return {"user_registered", "movie_created", "review_created"} <= set(heard)

    client(integrator, f"digest.{client.__name__}", {"auth.events": "#", "movies.events": "#"}, enough)


def test_a_stock_nameko_service_of_its_name_hears_reviews(
    platform: OwnAccounts, integrator: str, tmp_path: Path
) -> None:
    (tmp_path / "digest.py").write_text(
        "from nameko.events import BROADCAST, event_handler\n\n\n"
        "class Digest:\n"
        '    name = "digest"\n\n'
        '    @event_handler("movies", "review_created")\n'
        "    def handle_review_created(self, event):\n"
        '        print("pooled", event["data"]["review"]["id"])\n\n'
        '    @event_handler("movies", "review_created", handler_type=BROADCAST, reliable_delivery=False)\n'
        "    def note_review_created(self, event):\n"
        '        print("broadcast", event["data"]["review"]["id"])\n'
    )
    (tmp_path / "nameko.yaml").write_text(
        f"AMQP_URI: {integrator}\nDECLARE_EVENT_EXCHANGES: false\nserializer: json\n"
    )
    command = [ROOT / ".venv" / "bin" / "nameko", "run", "--config", tmp_path / "nameko.yaml", "digest"]
    with Program(command, tmp_path, {"PYTHONPATH": str(tmp_path)}, cwd=tmp_path) as service:
        wait_until(lambda: consumed(platform, "digest.handle_review_created"), DEADLINE_SECONDS, "it listens")
        author = sign_up(platform.gateways[0])
        review = author.api.create_review(author.api.create_movie())
        assert {service.line(), service.line()} == {f"pooled {review}", f"broadcast {review}"}


def consumed(platform: OwnAccounts, handler: str) -> bool:
    with kombu.Connection(platform.servers.amqp) as connection, connection.channel() as channel:
        try:
            queue = channel.queue_declare(f"evt-movies-review_created--{handler}", passive=True)
        except connection.channel_errors:
            return False
        return bool(queue.consumer_count)


def test_an_integrator_has_so_many_connections(integrator: str) -> None:
    connections = [kombu.Connection(integrator) for _ in range(definitions.MOST_CONNECTIONS + 1)]
    try:
        for connection in connections[:-1]:
            connection.connect()
        with pytest.raises(NotAllowed):
            connections[-1].connect()
    finally:
        for connection in connections:
            connection.release()


def test_an_integrator_that_is_away_keeps_so_much(
    platform: OwnAccounts, rabbitmq: RabbitMq, tmp_path: Path
) -> None:
    """The bound is the broker's: of a queue that says another one the smaller counts."""
    made = definitions.of_integrator(permissions.integrator("small"), PASSWORD)
    made["policies"][0]["definition"]["max-length-bytes"] = 100_000
    (tmp_path / "small.json").write_text(json.dumps(made))
    rabbitmq.control("import_definitions", tmp_path / "small.json")
    with kombu.Connection(uri(rabbitmq, "small")) as connection, connection.channel() as own:
        kombu.Queue("small.full", channel=own, max_length_bytes=2**40).declare()
    confirmed = {"confirm_publish": True}
    with (
        kombu.Connection(platform.servers.amqp, transport_options=confirmed) as operator,
        operator.channel() as channel,
    ):
        producer = kombu.Producer(channel)
        for _ in range(200):
            producer.publish(b"x" * 1000, routing_key="small.full", mandatory=True)
        assert channel.queue_declare("small.full", passive=True).message_count == 100
