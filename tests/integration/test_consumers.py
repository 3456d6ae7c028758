"""Consumers of other people's making get every event, and CloudEvents' SDKs know each for one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import kombu
import pika
import pytest
import yaml
from amqp.exceptions import NotFound
from cloudevents.core.bindings import amqp, rabbitmq

from broker import cloudevents
from tests.clients import sign_in, sign_up
from tests.consumers.nameko_service import Listener, Listener3
from tests.platforms import FullDeployment
from tests.processes import PROGRAMS, ROOT, RUN_SECONDS, Process, wait_until

READY_SECONDS = 30
HEARD_SECONDS = 20
SCRIPTS = ROOT / "tests" / "consumers"
JAVASCRIPT = ROOT / "tests" / "javascript"
NAMEKO_3 = "nameko==3.0.0rc11"
RECOGNISED = "the SDK of CloudEvents for JavaScript"
EXCHANGES = ("movies.events", "auth.events")
# What `tell` makes happen, by type.
TOLD = Counter(
    user_registered=1,
    user_updated=2,
    movie_created=2,
    movie_updated=1,
    movie_deleted=1,
    review_created=2,
    review_updated=1,
    review_deleted=1,
    session_revoked=2,
    user_deleted=1,
)


@dataclass(frozen=True)
class Consumer:
    """Programs that print what comes into their queues, and the queues."""

    commands: Sequence[Sequence[str | Path]]
    queues: Sequence[str]


def python(script: str, interpreter: Path = PROGRAMS / "python") -> Consumer:
    return Consumer([[interpreter, SCRIPTS / f"{script}.py", script]], [script])


def javascript(queue: str, *options: str) -> Consumer:
    return Consumer([["node", JAVASCRIPT / "consuming.mjs", queue, *options]], [queue])


def amqp_tools(uri: str) -> Consumer:
    """One program for each exchange: it binds one queue to one."""
    commands = [
        ["amqp-consume", "--url", uri, "-q", f"amqp-tools-{exchange}", "-e", exchange, "-r", "#"]
        for exchange in EXCHANGES
    ]
    end_the_line = ["sed", "$a\\"]
    return Consumer([command + end_the_line for command in commands], [command[4] for command in commands])


def nameko(programs: Path, uri: str, service: type[Listener]) -> Consumer:
    sources = {"movies": ("movie", "review"), "auth": ("user", "session")}
    queues = [
        f"evt-{source}-{event_type}--{service.name}.hear"
        for source, subjects in sources.items()
        for event_type in TOLD
        if event_type.startswith(subjects)
    ]
    module = f"{service.__module__}:{service.__name__}"
    return Consumer([[programs / "nameko", "run", "--broker", uri, module]], queues)


@pytest.fixture(scope="module")
def nameko_3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a virtual environment with the coming release of Nameko."""
    folder = tmp_path_factory.mktemp("nameko-3")
    interpreter = Path(sys.base_prefix) / "bin" / "python3"
    for command in (
        ["-m", "venv", "--without-pip", folder],
        ["-m", "pip", "--python", folder / "bin" / "python", "install", "-q", NAMEKO_3, "setuptools<81"],
    ):
        ended = subprocess.run(
            [interpreter, *command], capture_output=True, text=True, check=False, timeout=RUN_SECONDS
        )
        assert ended.returncode == 0, ended.stderr
    return folder / "bin"


@dataclass(frozen=True)
class Story:
    """What each consumer printed, line by line, and the messages as they came, by the id of the event."""

    printed: Mapping[str, list[dict[str, Any]]]
    messages: Mapping[str, tuple[pika.BasicProperties, bytes]]


@pytest.fixture(scope="module")
def story(
    full_deployment: FullDeployment, nameko_3: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    # The virtual host's own slash, as all of them read it.
    uri = re.sub("//$", "/%2F", full_deployment.servers.amqp)
    consumers = {
        "Nameko 2": nameko(PROGRAMS, uri, Listener),
        "Nameko 3": nameko(nameko_3, uri, Listener3),
        "kombu": python("kombu_queue"),
        "pika": python("pika_queue"),
        "aio-pika": python("aio_pika_queue"),
        "amqplib": javascript("amqplib"),
        "amqp-tools": amqp_tools(uri),
        RECOGNISED: javascript("recognised", "--recognise"),
    }
    folder = tmp_path_factory.mktemp("consumers")
    with ExitStack() as stack:
        processes = {
            name: [
                stack.enter_context(started(f"{name}-{number}", command, uri, folder))
                for number, command in enumerate(each.commands)
            ]
            for name, each in consumers.items()
        }
        connection = stack.enter_context(kombu.Connection(uri))
        running = [process for each in processes.values() for process in each]
        for queue in [queue for each in consumers.values() for queue in each.queues]:
            wait_until(partial(consumed, connection, queue, running), READY_SECONDS, f"{queue} is read")
        plain = Messages(uri)
        tell(full_deployment)
        heard = {name: Lines(each) for name, each in processes.items()}
        for name, lines in heard.items():
            wait_until(partial(lines.are_at_least, TOLD.total()), HEARD_SECONDS, f"{name} hears all")
        yield Story({name: lines.all() for name, lines in heard.items()}, plain.all())


class Lines:
    """The JSON objects that programs have printed."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self._processes = processes

    def are_at_least(self, count: int) -> bool:
        return len(self.all()) >= count

    def all(self) -> list[dict[str, Any]]:
        for process in self._processes:
            process.check()
        lines = [line for process in self._processes for line in process.log.read_text().splitlines()]
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


class Messages:
    """The messages of a queue of its own, as pika gives them out."""

    def __init__(self, uri: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(uri))
        self._channel = self._connection.channel()
        self._queue = self._channel.queue_declare("", exclusive=True).method.queue
        for exchange in EXCHANGES:
            self._channel.queue_bind(self._queue, exchange, "#")

    def all(self) -> dict[str, tuple[pika.BasicProperties, bytes]]:
        found = {}
        while True:
            _, properties, body = self._channel.basic_get(self._queue, auto_ack=True)
            if properties is None:
                self._connection.close()
                return found
            found[json.loads(body)["id"]] = (properties, body)


@contextmanager
def started(name: str, command: Sequence[str | Path], uri: str, folder: Path) -> Iterator[Process]:
    """A consumer's program for the length of a `with`."""
    environment = {"AMQP_URI": uri, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = Process(name.replace(" ", "-"), command, environment, folder)
    try:
        yield process
    finally:
        process.end()


def consumed(connection: kombu.Connection, queue: str, readers: Sequence[Process]) -> bool:
    for reader in readers:
        reader.check()
    try:
        with connection.channel() as channel:
            return bool(channel.queue_declare(queue, passive=True).consumer_count)
    except NotFound:
        return False


def tell(deployment: FullDeployment) -> None:
    """Make every kind of event happen."""
    alice = sign_up(deployment.gateways[0])
    deployment.set_role(alice.username, "moderator")
    assert alice.change(username=f"{alice.username}-2").status_code == 200
    movie = alice.api.create_movie(title="Ünïcødé 映画 \U0001f3ac")
    for body in ("first", "second"):
        review = alice.api.create_review(movie, body=body)
        if body == "first":
            assert alice.api.put(f"/api/reviews/{review}", {"title": "Better"}).status_code == 200
            assert alice.api.delete(f"/api/reviews/{review}").status_code == 200
    alice.api.create_movie()
    assert alice.api.put(f"/api/movies/{movie}", {"genre": "Drama"}).status_code == 200
    assert alice.api.delete(f"/api/movies/{movie}").status_code == 200
    again = sign_in(deployment.gateways[0], alice.email)
    assert again.api.post("/api/auth/logout").status_code == 200
    assert alice.delete().status_code == 200


KINDS = ["Nameko 2", "Nameko 3", "kombu", "pika", "aio-pika", "amqplib", "amqp-tools"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_consumer_gets_every_event(story: Story, kind: str) -> None:
    heard = story.printed[kind]
    assert Counter(event["type"] for event in heard) == TOLD
    assert {event["id"]: event for event in heard} == {
        event_id: json.loads(body) for event_id, (_, body) in story.messages.items()
    }


def test_pythons_sdk_knows_every_message_by_either_binding(story: Story) -> None:
    for properties, body in story.messages.values():
        envelope = json.loads(body)
        assert properties.content_type == "application/json"
        message = amqp.AMQPMessage({"content-type": properties.content_type}, properties.headers, body)
        events = [
            amqp.from_amqp_event(message),
            rabbitmq.from_rabbitmq_event(
                rabbitmq.RabbitMQMessage(properties.headers, properties.content_type, body)
            ),
        ]
        for event in events:
            for name in ("specversion", "id", "source", "type", "subject"):
                assert event.get_attributes()[name] == envelope[name]
            assert event.get_time().isoformat().replace("+00:00", "")[:23] == envelope["time"][:23]
            assert event.get_data() == envelope


def test_javascripts_sdk_knows_every_message(story: Story) -> None:
    recognised = {event["id"]: event for event in story.printed[RECOGNISED]}
    assert recognised.keys() == story.messages.keys()
    for event_id, (_, body) in story.messages.items():
        envelope = json.loads(body)
        event = recognised[event_id]
        assert {name: event[name] for name in ("specversion", "source", "type", "subject")} == {
            name: envelope[name] for name in ("specversion", "source", "type", "subject")
        }
        assert event["data"] == envelope


def test_the_headers_are_those_of_the_envelope(story: Story) -> None:
    for properties, body in story.messages.values():
        assert properties.headers == cloudevents.headers(json.loads(body))


def test_the_events_description_is_valid_asyncapi() -> None:
    described = yaml.safe_load((ROOT / "broker" / "asyncapi.yaml").read_text())
    schemas = JAVASCRIPT / "node_modules" / "@asyncapi" / "specs" / "schemas"
    schema = json.loads((schemas / f"{described['asyncapi']}.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert list(validator.iter_errors(described)) == []
    del described["channels"]["movie_created"]["address"], described["info"]["title"]
    assert list(validator.iter_errors(described)) != []
