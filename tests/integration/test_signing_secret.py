"""The secret of the signing keys comes, goes, changes, is lost: sign-in and the public keys survive it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2.extensions
import pytest

from auth import domain, secret, signing
from auth.domain import PUBLIC_BEGINS, SigningKey, TokenSettings
from auth.verification import verification
from broker import history_table
from broker.database import Transaction, engine
from broker.errors import ServiceUnavailable
from broker.tokens import TokenVerifier
from tests.clients import Api, sign_in, sign_up
from tests.platforms import Databases, Embedded, FullDeployment, connect, wait_until_ready
from tests.processes import PROGRAMS, run, wait_until
from tests.servers import ServerUrls

NOW = datetime.now(UTC)
COMMAND = [PROGRAMS / "python", "-m", "auth.secret"]


@pytest.fixture(scope="module")
def database(servers: ServerUrls) -> Iterator[str]:
    databases = Databases.create(servers.postgres)
    migrated = run(
        [PROGRAMS / "alembic", "-n", "auth", "upgrade", "head"], {"AUTH_DATABASE_URL": databases.auth}
    )
    assert migrated.returncode == 0, migrated.stderr
    yield databases.auth
    databases.drop()


@pytest.fixture
def rows(database: str) -> Iterator[psycopg2.extensions.connection]:
    """The database, without a signing key."""
    connection = connect(database)
    execute(connection, "DELETE FROM signing_keys")
    yield connection
    connection.close()


@pytest.fixture
def transaction(database: str) -> Iterator[Transaction]:
    bind = engine(database, 4)
    yield Transaction(bind)
    bind.dispose()


def execute(
    connection: psycopg2.extensions.connection, statement: str, *values: object
) -> list[tuple[str, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def stored(connection: psycopg2.extensions.connection) -> list[SigningKey]:
    return [
        SigningKey(*row)
        for row in execute(connection, "SELECT kid, pem FROM signing_keys ORDER BY created_at")
    ]


class Auth:
    """A process of auth, as far as the keys go."""

    def __init__(self, transaction: Transaction, secret: str) -> None:
        self.tokens = TokenSettings(3600, secret)
        self.transaction = transaction

    def sign_in(self, now: datetime = NOW) -> str:
        with self.transaction() as session:
            key = signing.key(session, self.tokens, now)
            subject = domain.Subject(7, uuid.uuid4().hex, "alice", history_table.current(session).id)
        return domain.access_token(key, self.tokens, subject, "session", datetime.now(UTC))

    def settle(self, now: datetime = NOW) -> None:
        signing.settle(self.transaction, self.tokens, now)

    def accepts(self, token: str) -> bool:
        """Whether who reads the keys of this process takes the token."""
        verifier = TokenVerifier()
        verifier.load(verification(self.transaction, self.tokens, NOW))
        return not verifier.names_unknown_key(token) and verifier.verify(token).user_id == 7


def test_a_secret_that_comes_encrypts_what_lay_in_the_clear(
    transaction: Transaction, rows: psycopg2.extensions.connection
) -> None:
    before = Auth(transaction, "")
    token = before.sign_in()
    execute(rows, "INSERT INTO signing_keys SELECT 'old', pem, created_at, now() FROM signing_keys")
    after = Auth(transaction, "a secret")
    after.settle()
    assert [key.is_encrypted for key in stored(rows)] == [True, True]
    assert after.accepts(token)
    assert after.accepts(after.sign_in())
    assert after.accepts(before.sign_in()), "who has opened it goes on"
    assert len(stored(rows)) == 2


@pytest.mark.parametrize("other", ["", "another"])
def test_without_the_secret_people_stay_signed_in_and_can_sign_in(
    transaction: Transaction,
    rows: psycopg2.extensions.connection,
    caplog: pytest.LogCaptureFixture,
    other: str,
) -> None:
    before = Auth(transaction, "a secret")
    token = before.sign_in()
    after = Auth(transaction, other)
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            assert after.accepts(after.sign_in())
            after.settle()
        assert after.accepts(token)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("setting SIGNING_KEY_SECRET does not open 1 of the signing keys (")
    assert "stays signed in" in caplog.messages[0]
    assert before.accepts(after.sign_in())
    assert len(stored(rows)) == 2
    assert signing.status(transaction, after.tokens)["keys"] == "Unreadable in part"
    assert signing.status(transaction, before.tokens)["status"] == "OK"


def test_a_key_of_before_that_cannot_be_opened_costs_its_sign_ins_alone(
    transaction: Transaction, rows: psycopg2.extensions.connection, caplog: pytest.LogCaptureFixture
) -> None:
    token = Auth(transaction, "a secret").sign_in()
    execute(rows, "UPDATE signing_keys SET pem = split_part(pem, %s, 1)", PUBLIC_BEGINS)
    after = Auth(transaction, "another")
    assert after.accepts(after.sign_in())
    assert not after.accepts(token)
    assert [message for message in caplog.messages if "must sign in again" in message]
    found = Auth(transaction, "a secret")
    assert found.accepts(token), "the secret was found again"
    found.settle()
    assert Auth(transaction, "another").accepts(token)


def test_processes_with_two_secrets_have_a_key_each_and_no_more(
    transaction: Transaction, rows: psycopg2.extensions.connection
) -> None:
    """A rolling change, in which nobody keeps what was opened: each is started again all the time."""
    with ThreadPoolExecutor(4) as threads:
        signed = list(
            threads.map(lambda number: Auth(transaction, f"secret {number % 2}").sign_in(), range(40))
        )
        list(threads.map(lambda number: Auth(transaction, f"secret {number % 2}").settle(), range(40)))
    assert len(stored(rows)) == 2
    assert all(Auth(transaction, "secret 0").accepts(token) for token in signed)
    later = NOW + signing.KEPT_ASIDE + timedelta(minutes=1)
    Auth(transaction, "secret 1").settle(later)
    assert execute(rows, "SELECT count(*) FROM signing_keys WHERE retired_at IS NULL") == [(1,)]
    assert len(stored(rows)) == 2, "it is set aside, not deleted"


def test_a_secret_that_is_another_one_at_each_start_makes_keys_within_a_bound(
    transaction: Transaction, rows: psycopg2.extensions.connection
) -> None:
    def start(number: int) -> bool:
        try:
            Auth(transaction, f"secret {number}").sign_in()
        except ServiceUnavailable:
            return False
        return True

    assert sum(start(number) for number in range(30)) == signing.MOST_MADE
    tokens = TokenSettings(3600, "secret 99")
    said = signing.status(transaction, tokens)
    assert (said["status"], said["keys"]) == ("ERROR", "Unreadable")
    assert Auth(transaction, "secret 0").sign_in(), "whose key is there signs in"


def test_the_command_changes_the_secret_and_signs_nobody_out(
    transaction: Transaction, rows: psycopg2.extensions.connection, database: str
) -> None:
    before = Auth(transaction, "old")
    token = before.sign_in()
    third = domain.new_signing_key("third")
    execute(rows, "INSERT INTO signing_keys VALUES (%s, %s, now(), now())", third.kid, third.pem)
    ended = run(COMMAND, secrets(database, "old", "new"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == (
        "signing keys that are encrypted with the new secret now: 1, 1 of another secret are left as they "
        "are; set SIGNING_KEY_SECRET to the new one wherever auth runs, and start auth again\n"
    )
    after = Auth(transaction, "new")
    assert after.accepts(token)
    assert after.accepts(before.sign_in())
    assert before.accepts(after.sign_in())
    assert len(stored(rows)) == 2
    execute(rows, "DELETE FROM signing_keys WHERE kid = %s", third.kid)
    assert run(COMMAND, secrets(database, "old", "new")).stdout.startswith(
        "signing keys that are encrypted with the new secret now: 0, 1 did so before"
    )
    assert run(COMMAND, secrets(database, "new", "")).returncode == 0
    assert Auth(transaction, "").accepts(Auth(transaction, "").sign_in())
    assert len(stored(rows)) == 1


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("wrong", "new", "the old secret opens none of 1 encrypted signing keys: nothing was changed"),
        ("", "new", "the old secret opens none of 1 encrypted signing keys: nothing was changed"),
        ("old", "old", "the two secrets are the same: nothing was changed"),
        (
            "old",
            "x" * 1024,
            "NEW_SIGNING_KEY_SECRET must be UTF-8 of 1023 bytes at most: nothing was changed",
        ),
        (
            None,
            "new",
            "OLD_SIGNING_KEY_SECRET is not set, and there is no terminal to ask at: nothing was changed",
        ),
    ],
)
def test_the_command_refuses_in_one_line_and_changes_nothing(
    transaction: Transaction,
    rows: psycopg2.extensions.connection,
    database: str,
    old: str | None,
    new: str,
    why: str,
) -> None:
    Auth(transaction, "old").sign_in()
    bare = domain.new_signing_key("")
    execute(rows, "INSERT INTO signing_keys VALUES (%s, %s, now())", bare.kid, bare.pem)
    before = stored(rows)
    environment = secrets(database, old or "", new)
    if old is None:
        del environment["OLD_SIGNING_KEY_SECRET"]
    ended = run(COMMAND, environment)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"auth.secret: {why}\n")
    assert stored(rows) == before


def test_the_command_fails_whole(
    transaction: Transaction, rows: psycopg2.extensions.connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        key = domain.new_signing_key("old")
        execute(rows, "INSERT INTO signing_keys VALUES (%s, %s, now())", key.kid, key.pem)
    before = stored(rows)

    def changed_in_vain() -> None:
        with transaction() as session:
            assert secret.change(session, "old", "new").keys == 3
            raise RuntimeError

    with pytest.raises(RuntimeError):
        changed_in_vain()
    assert stored(rows) == before


def secrets(database: str, old: str, new: str) -> dict[str, str]:
    return {
        "AUTH_DATABASE_URL": database,
        "OLD_SIGNING_KEY_SECRET": old,
        "NEW_SIGNING_KEY_SECRET": new,
        "PYTHONWARNINGS": "ignore",
    }


def test_the_command_finds_the_embedded_database_while_it_runs(embedded: Embedded) -> None:
    gateway = embedded.gateways[0]
    user = sign_up(gateway)
    for old, new in (("", "a secret"), ("a secret", "")):
        asked = {"OLD_SIGNING_KEY_SECRET": old, "NEW_SIGNING_KEY_SECRET": new}
        ended = run(COMMAND, {**embedded.environment, **asked, "PYTHONWARNINGS": "ignore"})
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.startswith("signing keys that ")
        assert sign_in(gateway, user.email).api.get("/api/auth/me").json()["id"] == user.id
        assert user.api.get("/api/auth/me").json()["id"] == user.id
    assert len(Api(gateway).get("/.well-known/jwks.json").json()["keys"]) == 1


def test_without_data_the_command_says_so(tmp_path: Path) -> None:
    settings = {**secrets("", "old", "new"), "DATA_FOLDER": str(tmp_path / "none")}
    ended = run(COMMAND, settings)
    assert ended.returncode == 2
    assert "no data are there yet" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_platform_lives_through_it(apart: ServerUrls, tmp_path: Path) -> None:
    """From compose's development file to production on the same volume, and the old secret found then."""
    deployment = FullDeployment(apart, tmp_path, notifiers=0)
    deployment.environment["SIGNING_KEY_SECRET"] = "development"
    try:
        deployment.start()
        api = Api(deployment.gateways[0])
        user = sign_up(deployment.gateways[0])
        deployment.process("auth-0").stop()
        deployment.environment["SIGNING_KEY_SECRET"] = "a long random text"
        auth = deployment.start_part("auth-0")
        wait_until_ready(deployment.gateways, deployment.notifiers, deployment.processes)
        fresh = sign_in(deployment.gateways[0], user.email)
        for _ in range(100):
            jwks = api.get("/.well-known/jwks.json").json()["keys"]
        assert len(jwks) == 2
        for token in (user.token, fresh.token):
            assert Api(deployment.gateways[0], token).get("/api/auth/me").json()["id"] == user.id
        said = [line for line in auth.log.read_text().splitlines() if "does not open" in line]
        assert len(said) == 1
        assert api.get("/api/auth/status").json()["keys"] == "Unreadable in part"
        ended = run(COMMAND, secrets(deployment.databases.auth, "development", "a long random text"))
        assert ended.returncode == 0, ended.stderr
        wait_until(lambda: "keys" not in api.get("/api/auth/status").json(), 20, "what is found is read")
    finally:
        deployment.stop()
