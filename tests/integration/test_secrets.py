"""No secret reaches a log: at the most talkative level, of any part, whether a request goes well or not."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients import Api, Listener, sign_up
from tests.contract.listeners import refusal
from tests.integration.queues import EventQueue
from tests.integration.test_writes_once import call, delivered
from tests.platforms import FullDeployment, connect, running
from tests.processes import wait_until
from tests.servers import PrivateServers

CANARY = "canary"
SECRET = f"{CANARY}-of-the-signing-keys-{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullDeployment]:
    """On servers of its own: on a broker that two deployments share, each would take the other's calls."""
    with PrivateServers(environment={}) as servers:
        deployment = FullDeployment(servers.urls, tmp_path_factory.mktemp("talkative"))
        deployment.environment |= {"LOG_LEVEL": "DEBUG", "SIGNING_KEY_SECRET": SECRET}
        with running(deployment):
            yield deployment


def canary(what: str) -> str:
    return f"{CANARY}-{what}-{uuid.uuid4().hex[:12]}"


@contextmanager
def broken(deployment: FullDeployment, table: str) -> Iterator[None]:
    """A database in which statements fail that never do."""
    connection = connect(deployment.databases.auth)
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
        try:
            yield
        finally:
            cursor.execute(f"ALTER TABLE elsewhere RENAME TO {table}")
    connection.close()


def live(deployment: FullDeployment) -> list[str]:
    """Goes through an account's life, well and badly; answers the tokens that were given out."""
    api = Api(deployment.gateways[0])
    name, email, password = (
        f"user-{uuid.uuid4().hex[:12]}",
        f"{canary('address')}@example.com",
        canary("password"),
    )
    body = {"username": name, "email": email, "password": password, "confirm_password": password}
    api.session.headers["Idempotency-Key"] = canary("key")
    statuses = [
        api.post("/api/auth/register", {**body, "email": canary("no-address")}),
        api.post("/api/auth/register", {**body, "confirm_password": canary("other")}),
        api.post("/api/auth/register", {**body, "password": [password]}),
        api.post("/api/auth/register", {**body, canary("field"): password}),
        api.post(
            "/api/auth/register", data=json.dumps(body)[:-3], headers={"Content-Type": "application/json"}
        ),
        api.post("/api/auth/register", body),
        api.post("/api/auth/register", body),
        api.post("/api/auth/register", {**body, "username": f"{name}x"}),
        api.post("/api/auth/login", {"email": email, "password": canary("wrong")}),
        api.post("/api/auth/login", {"email": email, "password": {"is": password}}),
        api.post("/api/auth/login", {"email": canary("nobody"), "password": password}),
    ]
    assert [answer.status_code for answer in statuses] == [
        400,
        400,
        400,
        400,
        400,
        201,
        201,
        422,
        401,
        400,
        401,
    ]
    token = str(api.post("/api/auth/login", {"email": email, "password": password}).json()["access_token"])
    mine = Api(deployment.gateways[0], token)
    for path in (f"/api/auth/me?token={canary('query')}", f"/api/movies?{canary('query')}=1"):
        mine.get(path)
    mine.patch("/api/auth/me", {"password": canary("new-password"), "current_password": canary("wrong")})
    mine.patch("/api/auth/me", {"email": f"{canary('address')}@example.com", "current_password": password})
    forged = token[:-8] + "canary00"
    for bad in (forged, canary("token"), f"{token}.{CANARY}"):
        assert Api(deployment.gateways[0], bad).get("/api/auth/me").status_code == 401
        assert refusal(deployment.notifiers[0], {"token": bad})
    with Listener(deployment.notifiers[0], token) as listener:
        listener.call("join_notification", user_id="somebody else", room_id="all")
    with broken(deployment, "users"):
        for path in ("/api/auth/login", "/api/auth/register"):
            assert (
                api.post(
                    path, body if "register" in path else {"email": email, "password": password}
                ).status_code
                == 503
            )
        assert mine.patch("/api/auth/me", {"email": email, "current_password": password}).status_code == 503
    with broken(deployment, "idempotency_keys"):
        api.session.headers["Idempotency-Key"] = canary("key")
        assert api.post("/api/auth/login", {"email": f"{email}", "password": password}).status_code in (
            401,
            503,
        )
    at_once(deployment)
    by_rpc(deployment, email, password)
    mine.request("DELETE", "/api/auth/me", {"current_password": password})
    return [token, *token.split(".")[1:], forged.split(".")[2]]


def at_once(deployment: FullDeployment) -> None:
    """The same address for four names, at once: the database has the last word."""
    email, password = f"{canary('address')}@example.com", canary("password")
    bodies = [
        {
            "username": f"user-{uuid.uuid4().hex[:12]}",
            "email": email,
            "password": password,
            "confirm_password": password,
        }
        for _ in range(4)
    ]
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda body: Api(deployment.gateways[0]).post("/api/auth/register", body), bodies)
        )
    assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]


def by_rpc(deployment: FullDeployment, email: str, password: str) -> None:
    """As programs call that are wrong."""
    fields = {"email": email, "password": password}
    for body in (
        call(fields, canary("key"), "too much"),
        call(),
        call([fields]),
        {"args": [fields]},
        [fields],
    ):
        try:
            delivered(deployment.servers.amqp, "auth.login", body, times=1)
        except Exception as error:
            assert password not in str(error)


def test_no_secret_reaches_a_log(talkative: FullDeployment) -> None:
    with EventQueue(talkative.servers.amqp, "auth") as queue:
        tokens = live(talkative)
        # The last of it is through every part.
        queue.wait_for(lambda events: any(event["type"] == "session_revoked" for event in events))
    rotated = sign_up(talkative.gateways[0])
    talkative.rpc("auth.rotate_keys")
    tokens.append(rotated.token)
    logs = sorted(Path(talkative.folder).glob("*.log"))
    wait_until(lambda: "DEBUG" in "".join(map(Path.read_text, logs)), 10, "something is said at that level")
    assert {log.name.partition("-")[0] for log in logs} == {"auth", "gateway", "movies", "notifications"}
    for log in logs:
        lines = log.read_text(errors="replace").splitlines()
        for secret in (CANARY, SECRET, *tokens, "PRIVATE KEY", "scrypt:", "uthorization"):
            assert [line for line in lines if secret in line] == [], (log.name, secret)
