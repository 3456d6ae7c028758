"""`python -m broker.accounts` by each of its ways, and what docker-compose.yml gives RabbitMQ to load."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import kombu
import pytest
import yaml
from amqp.exceptions import AccessRefused, NotFound

from broker.accounts.permissions import SERVICES
from tests.integration.broker_accounts import PASSWORD, broker_with_accounts, uri
from tests.integration.readme import block
from tests.processes import ROOT, run
from tests.servers import RabbitMq

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
QUOTED = 'a "quoted" \\ password'
OF_THE_PARTS = {
    "auth-service": "auth",
    "movie-service": "movies",
    "gateway": "gateway",
    "notifications": "notifications",
    "shell": "platform",
    "backup": "platform",
}


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    with broker_with_accounts(tmp_path_factory.mktemp("accounts"), management=True) as rabbitmq:
        yield rabbitmq


def accounts(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "broker.accounts", *words], environment)


def way(rabbitmq: RabbitMq, by: str) -> list[str]:
    """The options that lead to the broker."""
    if by == "rabbitmqctl":
        return ["--rabbitmqctl", shlex.join(map(str, rabbitmq.control_command))]
    return ["--management", rabbitmq.management_url.replace("guest:guest", f"platform:{PASSWORD}")]


def given_uri(said: str, rabbitmq: RabbitMq) -> str:
    """What the command has told to connect with."""
    user, password = re.findall(r"AMQP_URI=amqp://([\w-]+):([\w-]+)@", said)[0]
    return rabbitmq.url_of(user, password)


def may_declare(amqp_uri: str, queue: str) -> bool:
    with kombu.Connection(amqp_uri) as connection, connection.channel() as channel:
        try:
            channel.queue_declare(queue, durable=True, auto_delete=False)
        except AccessRefused:
            return False
        return True


def is_there(rabbitmq: RabbitMq, queue: str) -> bool:
    with kombu.Connection(uri(rabbitmq, "platform")) as operator, operator.channel() as channel:
        try:
            channel.queue_declare(queue, passive=True)
        except NotFound:
            return False
        return True


@pytest.mark.parametrize("by", ["rabbitmqctl", "management"])
def test_an_integrators_account_is_made_listed_renewed_and_removed(rabbitmq: RabbitMq, by: str) -> None:
    name, options = f"by-{by}", way(rabbitmq, by)
    environment = rabbitmq.control_environment
    added = accounts("add", name, *options, **environment)
    assert (added.returncode, added.stdout) == (0, ""), added.stderr
    amqp_uri = given_uri(added.stderr, rabbitmq)
    assert may_declare(amqp_uri, f"{name}.films")
    assert not may_declare(amqp_uri, "films")
    assert name in accounts("list", *options, **environment).stdout.split()

    again = accounts("add", name, *options, **environment)
    assert "has a new password" in again.stderr
    with pytest.raises(AccessRefused):
        may_declare(amqp_uri, f"{name}.films")
    assert may_declare(given_uri(again.stderr, rabbitmq), f"{name}.films")

    removed = accounts("remove", name, *options, **environment)
    assert removed.stdout == f"{name} is gone, and so are 1 queues of its own\n"
    with pytest.raises(AccessRefused):
        may_declare(given_uri(again.stderr, rabbitmq), f"{name}.films")
    assert not is_there(rabbitmq, f"{name}.films")
    assert name not in accounts("list", *options, **environment).stdout.split()


@pytest.mark.parametrize("by", ["rabbitmqctl", "management"])
def test_the_services_accounts_get_passwords(tmp_path: Path, by: str) -> None:
    """On a broker that has nothing but its stock user."""
    with RabbitMq(tmp_path, management=True) as rabbitmq:
        options = way(rabbitmq, by) if by == "rabbitmqctl" else ["--management", rabbitmq.management_url]
        made = accounts("services", *options, **rabbitmq.control_environment)
        assert made.returncode == 0, made.stderr
        uris = [given_uri(line, rabbitmq) for line in made.stderr.splitlines()]
        assert len(uris) == len(SERVICES)
        assert [may_declare(each, "films") for each in uris] == [False] * len(SERVICES)


def test_without_a_way_definitions_are_printed(rabbitmq: RabbitMq, tmp_path: Path) -> None:
    made = accounts("add", "by-hand")
    (tmp_path / "by-hand.json").write_text(made.stdout)
    rabbitmq.control("import_definitions", tmp_path / "by-hand.json")
    amqp_uri = given_uri(made.stderr, rabbitmq)
    assert may_declare(amqp_uri, "by-hand.films")
    password = amqp_uri.split(":")[2].partition("@")[0]
    assert password not in made.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "movies"], "movies is a name of the platform's own"),
        (["add", "Digest"], "a name has 1 to 32 small letters"),
        (["list"], "list asks the broker: say --rabbitmqctl or --management URL"),
        (["list", "--management", "localhost"], "the management API has a URL such as"),
        (["list", "--management", "http://localhost:1"], "the management API does not answer"),
        (["list", "--rabbitmqctl", "no-such-program"], "no-such-program cannot be run"),
        (["list", "--rabbitmqctl", "false"], "false list_users: 1"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(words: list[str], said: str) -> None:
    done = accounts(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"broker.accounts: {said}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("by", ["rabbitmqctl", "management"])
def test_what_is_no_integrators_is_left_alone(rabbitmq: RabbitMq, by: str) -> None:
    rabbitmq.control("add_user", f"somebodys-{by}", PASSWORD)
    options, environment = way(rabbitmq, by), rabbitmq.control_environment
    for command in ("add", "remove"):
        done = accounts(command, f"somebodys-{by}", *options, **environment)
        assert done.returncode == 2
        assert "is there, and no integrator's account" in done.stderr
    done = accounts("remove", "nobody-of-this-name", *options, **environment)
    assert done.stderr == "broker.accounts: there is no integrator nobody-of-this-name\n"


def test_the_readmes_command_makes_an_account(rabbitmq: RabbitMq) -> None:
    """Its first line, at this broker; the others differ in the way to one."""
    lines = block("Listening to events", "sh").lines()
    assert all(line.startswith(lines[0].removesuffix(" --rabbitmqctl")) for line in lines)
    program, *words = shlex.split(lines[0])
    command = shlex.join(map(str, rabbitmq.control_command))
    made = run([ROOT / program, *words, command], rabbitmq.control_environment)
    assert may_declare(given_uri(made.stderr, rabbitmq), "digest.reviews")


def test_help_tells_the_commands() -> None:
    shown = accounts("--help")
    assert shown.returncode == 0
    assert {"add", "list", "remove", "services"} <= set(re.findall(r"^    (\w+)", shown.stdout, re.M))


# --- docker-compose.yml


def loaded_by_compose(folder: Path) -> Path:
    """What RabbitMQ's container has in its folder of definitions, by the entrypoint's own script."""
    service = COMPOSE["services"]["rabbitmq"]
    target = "/etc/rabbitmq/definitions/"
    for volume in service["volumes"]:
        source, _, rest = volume.partition(":")
        if rest.startswith(target):
            name = rest.removeprefix(target).removesuffix(":ro")
            (folder / name).write_text((ROOT / source).read_text())
    shell, options, script = service["entrypoint"]
    script = script.replace("$$", "$").replace(target, f"{folder}/")
    script = script.replace("exec docker-entrypoint.sh rabbitmq-server", "env").replace("chown rabbitmq", ":")
    passwords = {name: f"{QUOTED} of {name}" for name in service["environment"]}
    ran = subprocess.run(
        [shell, options, script],
        env={**os.environ, **passwords},
        check=True,
        capture_output=True,
        text=True,
    )
    assert QUOTED not in ran.stdout, "RabbitMQ itself is told no password"
    return folder


def test_compose_loads_every_account_with_its_password(tmp_path: Path) -> None:
    definitions = loaded_by_compose(tmp_path)
    users: list[dict[str, Any]] = json.loads((definitions / "2-users.json").read_text())["users"]
    assert [user["name"] for user in users] == ["platform", *SERVICES]
    for user in users:
        prefix = "" if user["name"] == "platform" else f"{user['name'].upper()}_"
        assert user["password"] == f"{QUOTED} of {prefix}BROKER_PASSWORD"
    with RabbitMq(definitions=definitions) as rabbitmq:
        for user in users:
            amqp_uri = rabbitmq.url_of(user["name"], quote(user["password"], safe=""))
            assert may_declare(amqp_uri, "films") is (user["name"] == "platform")


def test_each_part_of_compose_comes_with_its_own_account() -> None:
    shown = {
        name: re.findall(r"amqp://(\w+):\$\{(\w+):-", service["environment"]["AMQP_URI"])[0]
        for name, service in COMPOSE["services"].items()
        if "AMQP_URI" in service.get("environment", {})
    }
    assert {name: user for name, (user, _) in shown.items()} == OF_THE_PARTS
    given = COMPOSE["services"]["rabbitmq"]["environment"]
    for user, variable in shown.values():
        prefix = "" if user == "platform" else f"{user.upper()}_"
        assert given[f"{prefix}BROKER_PASSWORD"] == f"${{{variable}:-development}}"
