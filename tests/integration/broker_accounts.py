"""A RabbitMQ with an account for each service, as in docker-compose.yml, and a platform that uses them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from broker.accounts import definitions, permissions
from tests.platforms import FullDeployment
from tests.processes import ROOT, Process
from tests.servers import PrivateServers, RabbitMq

PASSWORD = "a-password-of-the-tests"


@contextmanager
def broker_with_accounts(folder: Path, *, management: bool = False) -> Iterator[RabbitMq]:
    """The topology, the services' accounts and the operator's, loaded at the start; no user `guest`."""
    loaded = folder / "definitions"
    loaded.mkdir(parents=True)
    users = definitions.of_services(dict.fromkeys(permissions.SERVICES, PASSWORD), permissions.services())
    users["users"].append({"name": permissions.OPERATOR, "password": PASSWORD, "tags": "administrator"})
    users["permissions"].append(
        {"user": permissions.OPERATOR, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    )
    (loaded / "1-topology.json").write_text((ROOT / "broker" / "definitions.json").read_text())
    (loaded / "2-users.json").write_text(json.dumps(users))
    with RabbitMq(folder / "rabbitmq", management=management, definitions=loaded) as rabbitmq:
        yield rabbitmq


def uri(rabbitmq: RabbitMq, account: str, password: str = PASSWORD) -> str:
    return rabbitmq.url_of(account, password)


def add_integrator(rabbitmq: RabbitMq, folder: Path, name: str) -> str:
    """Its AMQP_URI."""
    made = folder / f"{name}.json"
    made.write_text(json.dumps(definitions.of_integrator(permissions.integrator(name), PASSWORD)))
    rabbitmq.control("import_definitions", made)
    return uri(rabbitmq, name)


class OwnAccounts(FullDeployment):
    """Each process comes to the broker with the account of its service; the tests come as the operator."""

    def __init__(self, servers: PrivateServers, rabbitmq: RabbitMq, folder: Path, **counts: int) -> None:
        super().__init__(servers.urls, folder, **counts)
        self._rabbitmq = rabbitmq

    def start_process(self, name: str, command: list[str | Path], more: Mapping[str, str]) -> Process:
        account = {"AMQP_URI": uri(self._rabbitmq, name.rpartition("-")[0])}
        return super().start_process(name, command, {**more, **account})


@contextmanager
def servers_with(rabbitmq: RabbitMq) -> Iterator[PrivateServers]:
    """The other two servers beside a RabbitMQ, whose URL there is the operator's."""
    with PrivateServers(environment={"AMQP_URI": uri(rabbitmq, permissions.OPERATOR)}) as servers:
        yield servers
