"""The ways to a broker's accounts: RabbitMQ's own command, and its management API."""

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

from broker.accounts.definitions import INTEGRATOR, VHOST, Definitions, policy_name
from broker.accounts.permissions import owned_by

SECONDS = 60.0  # each question; rabbitmqctl starts an Erlang machine


class WayFailed(Exception):
    """The broker did not do it, or could not be asked; one line for people."""


class Way(Protocol):
    """Raises WayFailed throughout."""

    def users(self) -> dict[str, list[str]]:
        """The tags of each user."""

    def apply(self, definitions: Definitions) -> None:
        """Have the broker take definitions in, beside what it has."""

    def queues(self) -> list[str]: ...

    def delete(self, kind: str, name: str) -> None:
        """Delete a `user`, a `queue` or a `policy`."""


class Rabbitmqctl:
    """`command`: the program and what it needs before its own command, such as `--node`."""

    _DELETE = {"user": "delete_user", "queue": "delete_queue", "policy": "clear_policy"}  # noqa: RUF012

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command

    def users(self) -> dict[str, list[str]]:
        return {each["user"]: each["tags"] for each in self._listed("list_users")}

    def apply(self, definitions: Definitions) -> None:
        self._run("import_definitions", said=json.dumps(definitions))

    def queues(self) -> list[str]:
        return [each["name"] for each in self._listed("list_queues", "name")]

    def delete(self, kind: str, name: str) -> None:
        self._run(self._DELETE[kind], name)

    def _listed(self, *words: str) -> list[dict[str, Any]]:
        printed = self._run(*words, "--formatter", "json")
        listed: list[dict[str, Any]] = json.loads(printed[printed.index("[") :])
        return listed

    def _run(self, *words: str, said: str = "") -> str:
        try:
            done = subprocess.run(  # noqa: S603 - it is the operator's own command
                [*self._command, "--quiet", *words],
                input=said,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise WayFailed(f"{self._command[0]} cannot be run ({type(error).__name__})") from error
        if done.returncode != 0:
            lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            raise WayFailed(f"{self._command[0]} {words[0]}: {lines[0] if lines else done.returncode}")
        return done.stdout


class Management:
    """`url`: of the management plugin, with an administrator's name and password in it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise WayFailed("the management API has a URL such as http://USER:PASSWORD@localhost:15672")
        self._root = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}/api"
        passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
        user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
        passwords.add_password(None, self._root, user, password, is_authenticated=True)
        self._opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))

    def users(self) -> dict[str, list[str]]:
        listed = self._ask("GET", "users")
        return {each["name"]: _tags(each["tags"]) for each in listed}

    def apply(self, definitions: Definitions) -> None:
        self._ask("POST", "definitions", definitions)

    def queues(self) -> list[str]:
        return [each["name"] for each in self._ask("GET", f"queues/{quote(VHOST, '')}?disable_stats=true")]

    def delete(self, kind: str, name: str) -> None:
        vhost = quote(VHOST, "")
        where = {"user": "users", "queue": f"queues/{vhost}", "policy": f"policies/{vhost}"}[kind]
        self._ask("DELETE", f"{where}/{quote(name, '')}")

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - http or https, see above
            f"{self._root}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                said = answer.read()
            return json.loads(said) if said else None
        except urllib.error.HTTPError as error:
            with error:
                raise WayFailed(f"the management API answers {error.code} {error.reason}") from error
        except (OSError, ValueError) as error:
            raise WayFailed(f"the management API does not answer ({type(error).__name__})") from error


def _tags(tags: Any) -> list[str]:
    """A list, or before RabbitMQ 3.9 a text."""
    return [tag for tag in tags.split(",") if tag] if isinstance(tags, str) else list(tags)


def integrators(way: Way) -> list[str]:
    """The integrators' accounts, by name."""
    return sorted(name for name, tags in way.users().items() if INTEGRATOR in tags)


def is_there(way: Way, name: str) -> bool:
    """Whether there is an integrator of that name. Raises WayFailed where it is somebody else's account."""
    tags = way.users().get(name)
    if tags is not None and INTEGRATOR not in tags:
        raise WayFailed(f"{name} is there, and no integrator's account")
    return tags is not None


def remove(way: Way, name: str) -> list[str]:
    """End an integrator's account, then its queues and their bound; answers the queues."""
    if not is_there(way, name):
        raise WayFailed(f"there is no integrator {name}")
    way.delete("user", name)
    own = re.compile(owned_by(name))
    queues = [queue for queue in way.queues() if own.fullmatch(queue)]
    for queue in queues:
        way.delete("queue", queue)
    way.delete("policy", policy_name(name))
    return queues
