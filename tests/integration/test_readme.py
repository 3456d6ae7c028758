"""Whatever the README shows is run, from its own text: commands, snippets, tables."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import kombu
import pytest
import requests

from broker.events import ReviewCreated
from tests import backups
from tests.clients import sign_up
from tests.integration.readme import (
    TEXT,
    Program,
    bash,
    block,
    blocks,
    compose,
    consumers,
    documents,
    heard_by,
    inline,
    queue_of_a_test,
    table,
)
from tests.platforms import CROWDED_ADDRESS, Databases, Embedded, FullDeployment
from tests.processes import ROOT, Process, free_port, wait_until
from tests.servers import ServerUrls

WALK = "From register to review"
TWICE = "Sending a request twice"
LISTENERS = "Listening to a room"
EVENTS = "Listening to events"
OPERATORS = "Moderators and admins"
BACKUP = "Back up and restore"
COMPOSE = "Docker Compose"
PARTS = "The parts as processes of their own"
DEADLINE_SECONDS = 30

# Every fenced block, and what runs it.
RUN_BY = {
    ("Movie review platform", "sh"): "test_standalone.py runs the one, .ci/run the other",
    (WALK, "sh"): "test_the_curl_walk_ends_with_the_review_counted",
    (TWICE, "sh"): "test_a_request_sent_twice_is_done_once",
    (LISTENERS, "python"): "test_the_python_listener_prints_each_review_of_room_42_once",
    (LISTENERS, "js"): "test_the_javascript_listener_prints_each_review_of_room_42_once",
    (OPERATORS, "sh"): "test_set_role_makes_an_admin_…, test_the_shell_reaches_every_service",
    (OPERATORS, "python"): "test_the_shell_reaches_every_service",
    (BACKUP, "sh"): "test_make_writes_a_backup_and_restores_it",
    (COMPOSE, "sh"): "test_compose_takes_the_command",
    (PARTS, "sh"): "test_make_prepares_databases, test_each_part_starts_by_its_command",
    (EVENTS, "sh"): "test_accounts_command.py: test_the_readmes_command_makes_an_account",
    (EVENTS, "python"): "test_a_nameko_service_hears_reviews, test_a_plain_queue_hears_reviews",
    ("The way of one review", "mermaid"): "test_the_picture_names_what_there_is",
    ("Tests", "sh"): ".ci/run; test_every_make_target_exists",
}


def test_every_code_block_is_run_by_a_test() -> None:
    assert {(found.section, found.language) for found in blocks()} == set(RUN_BY)


# --- REST


def test_the_curl_walk_ends_with_the_review_counted(embedded: Embedded) -> None:
    name = f"alice-{uuid.uuid4().hex[:12]}"
    walk = block(WALK, "sh").replaced({"alice": name})
    script = walk.replace("http://localhost:8000", embedded.gateways[0])
    registered, reviewed, movie, reviews, popular, found = documents(bash(script))
    assert registered["message"] == "User registered successfully"
    assert reviewed["message"] == "Review created"
    assert movie["rating"] == pytest.approx((10 * 7.5 + 9.5) / 11)
    assert (movie["average_rating"], movie["review_count"]) == (9.5, 1)
    assert [(review["username"], review["title"]) for review in reviews["data"]] == [(name, "Superb")]
    assert len(popular["data"]) == 3
    assert movie["id"] in {each["id"] for each in popular["data"]} or popular["data"][-1]["review_count"] > 0
    assert movie["id"] in {each["id"] for each in found["data"]}


def test_a_request_sent_twice_is_done_once(embedded: Embedded) -> None:
    name = f"alice-{uuid.uuid4().hex[:12]}"
    walk = block(WALK, "sh").replaced({"alice": name}).replace("http://localhost:8000", embedded.gateways[0])
    first, second, other = documents(bash(walk + block(TWICE, "sh").code))[-3:]
    assert first["message"] == "Movie created"
    assert second == first
    assert set(other["errors"]) == {"Idempotency-Key"}


# --- rooms


def test_the_python_listener_prints_each_review_of_room_42_once(embedded: Embedded, tmp_path: Path) -> None:
    script = at_notifier(block(LISTENERS, "python").code, embedded)
    (tmp_path / "listener.py").write_text(script)
    with Program([sys.executable, "listener.py"], tmp_path, cwd=tmp_path) as listener:
        assert ast.literal_eval(listener.line())["message"] == "User guest has joined the room 42"
        assert_prints_each_review_once(listener, embedded)


def test_the_javascript_listener_prints_each_review_of_room_42_once(
    embedded: Embedded, tmp_path: Path, node_modules: Path
) -> None:
    script = at_notifier(block(LISTENERS, "js").code, embedded)
    (tmp_path / "listener.mjs").write_text(script)
    (tmp_path / "node_modules").symlink_to(node_modules)
    with Program(["node", "listener.mjs"], tmp_path, cwd=tmp_path) as listener:
        assert listener.line() == "User guest has joined the room 42"
        assert_prints_each_review_once(listener, embedded)


@pytest.fixture(scope="session")
def node_modules() -> Path:
    folder = ROOT / "tests" / "javascript"
    if not (folder / "node_modules").exists():
        subprocess.run(
            ["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=100
        )
    return folder / "node_modules"


def at_notifier(code: str, platform: Embedded) -> str:
    assert "localhost:8001" in code
    return code.replace("localhost:8001", platform.notifiers[0].removeprefix("http://"))


def assert_prints_each_review_once(listener: Program, platform: Embedded) -> None:
    for title in ("Superb", "Another"):  # whatever came twice would stand where the other is awaited
        author = sign_up(platform.gateways[0])
        author.api.create_review(42, title=title)
        assert listener.line() == f"new_review User {author.id} added a new review: {title}"


# --- operators


def test_set_role_makes_an_admin_of_the_embedded_platform(embedded: Embedded) -> None:
    alice = sign_up(embedded.gateways[0])
    command = block(OPERATORS, "sh").replaced({"alice": alice.username})
    assert bash(command, **embedded.environment) == f"{alice.username} is admin now\n"
    wait_until(
        lambda: alice.api.delete("/api/movies/cache/clear").status_code == 200,
        DEADLINE_SECONDS,
        "the gateway hears of the role",
    )


def test_the_shell_reaches_every_service(full_deployment: FullDeployment) -> None:
    alice = sign_up(full_deployment.gateways[0])
    movie = alice.api.create_movie(title="From the shell")
    words = {"alice": alice.username, "42": str(movie), "1": str(alice.id)}
    queue = kombu.Queue(
        "", kombu.Exchange("movies.events", type="topic"), "maintenance_planned", exclusive=True
    )
    with kombu.Connection(full_deployment.servers.amqp) as connection, heard_by(connection, queue) as heard:
        profile, shown, review, key, colliding, letters, replayed, backlog = in_shell(
            block(OPERATORS, "python").replaced(words), full_deployment
        )
        connection.drain_events(timeout=DEADLINE_SECONDS)
    assert (profile["username"], profile["role"]) == (alice.username, "moderator")
    assert (shown["id"], shown["title"]) == (movie, "From the shell")
    assert alice.api.get(f"/api/reviews/{review}").json()["username"] == alice.username
    keys = alice.api.get("/.well-known/jwks.json").json()["keys"]
    assert key in {each["kid"] for each in keys}
    assert heard == [{"at": "2030-01-01T04:00:00Z"}]
    assert (colliding, letters, replayed["replayed"], replayed["left"]) == ([], [], 0, [])
    assert set(backlog) == {"waiting", "oldest_seconds"}


def in_shell(script: str, deployment: FullDeployment) -> list[Any]:
    """What each expression of `script` gives in a real `nameko shell`."""
    done = subprocess.run(
        block(OPERATORS, "sh", 1).lines()[1].split(),
        cwd=ROOT,
        env={**os.environ, **deployment.environment},
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [ast.literal_eval(answer) for answer in done.stdout.split(">>> ") if answer.strip()]


# --- events


def test_a_nameko_service_hears_reviews(full_deployment: FullDeployment, tmp_path: Path) -> None:
    (tmp_path / "digest.py").write_text(block(EVENTS, "python").code)
    command = inline(r"\.venv/bin/nameko run .* digest").split()
    environment = {**full_deployment.environment, "PYTHONPATH": str(tmp_path)}
    queue = "evt-movies-review_created--digest.handle_review_created"
    with queue_of_a_test(full_deployment, queue), Program(command, tmp_path, environment) as service:
        assert_prints_each_event_once(service, queue, full_deployment)


def test_a_plain_queue_hears_reviews(full_deployment: FullDeployment, tmp_path: Path) -> None:
    (tmp_path / "listener.py").write_text(block(EVENTS, "python", 1).code)
    command = [sys.executable, tmp_path / "listener.py"]
    with (
        queue_of_a_test(full_deployment, "digest.reviews"),
        Program(command, tmp_path, full_deployment.environment) as listener,
    ):
        assert_prints_each_event_once(listener, "digest.reviews", full_deployment)


def assert_prints_each_event_once(program: Program, queue: str, deployment: FullDeployment) -> None:
    wait_until(lambda: consumers(deployment, queue) == 1, DEADLINE_SECONDS, f"{queue} is consumed")
    author = sign_up(deployment.gateways[0])
    for title in (f"Film {uuid.uuid4().hex}", f"Film {uuid.uuid4().hex}"):
        author.api.create_review(author.api.create_movie(title=title), rating=9.5)
        assert re.fullmatch(rf"[0-9a-f]{{32}} {title} 9\.5", program.line())


# --- the parts


def test_make_prepares_databases(servers: ServerUrls) -> None:
    """`make setup`, `make migrate`, `make sample` as they stand there, on databases of their own."""
    databases = Databases.create(servers.postgres)
    urls = {"AUTH_DATABASE_URL": databases.auth, "MOVIES_DATABASE_URL": databases.movies}
    commands = [line for line in block(PARTS, "sh").lines() if line.startswith("make ")]
    try:
        assert re.search(r"^[45]\d\d films loaded$", bash("\n".join(commands), **urls), re.M)
    finally:
        databases.drop()


def test_make_writes_a_backup_and_restores_it(servers: ServerUrls, tmp_path: Path) -> None:
    databases = Databases.create(servers.postgres)
    backups.migrate(databases)
    backups.fill(databases)
    before = backups.kept(databases)
    write, restore = block(BACKUP, "sh").lines()
    file = tmp_path / "a backup.tar.gz"
    environment = backups.environment(databases)
    try:
        assert bash(write, **environment, FILE=str(file)).splitlines()[-1] == str(file)
        bash(restore.replace("backups/<time>.tar.gz", f"'{file}'"), **environment)
        assert backups.kept(databases) == before
    finally:
        databases.drop()


def test_the_exported_variables_are_those_of_the_full_deployment(full_deployment: FullDeployment) -> None:
    exported = re.findall(r"^export (\w+)=", block(PARTS, "sh").code, re.M)
    of_the_tests = {"PASSWORD_COST", "NOTIFIER_MESSAGE_RATE", *CROWDED_ADDRESS}
    assert set(exported) == set(full_deployment.environment) - of_the_tests


def test_each_part_starts_by_its_command(full_deployment: FullDeployment, tmp_path: Path) -> None:
    """The four command lines as they stand there, beside the parts that run already."""
    ports = {"GATEWAY_PORT": str(free_port()), "NOTIFIER_PORT": str(free_port())}
    commands = [line for line in block(PARTS, "sh").lines() if line.startswith(".venv/bin/")]
    before = [consumers(full_deployment, queue) for queue in ("rpc-auth", "rpc-movies")]
    environment = {**full_deployment.environment, **ports}
    parts = [Process(f"part-{i}", line.split(), environment, tmp_path) for i, line in enumerate(commands)]
    try:
        wait_until(lambda: all_answer(parts, ports), DEADLINE_SECONDS, "the front doors answer")
        wait_until(
            lambda: [consumers(full_deployment, queue) - 1 for queue in ("rpc-auth", "rpc-movies")] == before,
            DEADLINE_SECONDS,
            "auth and movies take calls",
        )
    finally:
        for part in parts:
            part.terminate()
        codes = [part.stop() for part in parts]
    assert codes == [0, 0, 0, 0]


def all_answer(parts: list[Process], ports: dict[str, str]) -> bool:
    for part in parts:
        part.check()
    urls = [f"http://127.0.0.1:{ports['GATEWAY_PORT']}/api/movies/status"]
    urls.append(f"http://127.0.0.1:{ports['NOTIFIER_PORT']}/health/ready")
    try:
        return all(requests.get(url, timeout=10).status_code == 200 for url in urls)
    except requests.ConnectionError:
        return False


# --- compose


def compose_commands() -> list[str]:
    return [line for found in blocks() if found.section == COMPOSE for line in found.lines()]


@pytest.mark.parametrize("command", compose_commands())
def test_compose_takes_the_command(command: str) -> None:
    """Up to the engine, which is not there: the files are valid, and so are the command's words."""
    words = re.sub(r"^docker[- ]compose ", "", command).split()
    files = [word for flag in re.findall(r"-f \S+", command) for word in flag.split()]
    services = compose("config", "--services", files=files).stdout.split()
    named = re.findall(r"(?:logs|exec|--scale) ([\w-]+)", command)
    assert set(named) <= set(services)
    done = compose(*words[len(files) :], files=files)
    assert re.search(r"127\.0\.0\.1(:|', port=)1\b", done.stderr), done.stderr  # it asked the engine


# --- what is only said


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"(?:^|`)make ([a-z-]+)", TEXT, re.M))
    assert {"run", "test", "setup", "migrate", "check", "help"} <= targets
    subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, check=True, capture_output=True, timeout=60)


def test_the_ports_are_those_that_compose_publishes() -> None:
    composed = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    named = re.findall(r"\b\d{4,5}\b", TEXT.split("## Ports and settings")[1].partition("|")[0])
    assert sorted(named) == sorted(re.findall(r"_PORT:-(\d+)\}:\1\b", composed))


def test_every_path_is_there() -> None:
    named = {path for row in table("Where things are") for path in re.findall(r"`?([\w./]+[/\w])`?", row[0])}
    named |= set(re.findall(r"`(\w+/[\w/]*\w\.\w+|\w+\.ya?ml|\.env\.example)`", TEXT))
    assert {"auth/", "config.yaml", "broker/asyncapi.yaml"} <= named
    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_the_picture_names_what_there_is() -> None:
    picture = block("The way of one review", "mermaid").code
    ours = set(re.findall(r"[a-z]+(?=-?->>)|(?<=>>)[a-z]+(?=:)", picture)) - {"client"}
    assert ours == {part for part in ("gateway", "movies", "notifications") if (ROOT / part).is_dir()}
    exchange, event = re.findall(r"(\w+\.events) / (\w+)", picture)[0]
    assert (exchange, event) == (f"{ReviewCreated.source}.events", ReviewCreated.type)
