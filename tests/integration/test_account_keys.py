"""One account a key: on what the releases before have let in, whatever the database's locale."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extras import execute_values
from sqlalchemy.engine import make_url

from auth import commands, domain, handlers
from auth.service import AuthService
from broker.database import Transaction, engine
from broker.errors import Invalid, NotFound, Unauthenticated
from broker.idempotency import Write
from broker.validation import parse
from tests.clients import PASSWORD
from tests.integration.test_migrations import alembic, tables
from tests.platforms import Databases, connect
from tests.servers import ServerUrls

NOW = datetime(2026, 1, 1, tzinfo=UTC)
COST = 1024

# Usernames and addresses as the release before let them in beside each other.
ACCOUNTS = [
    ("İxlar", "ixlar@example.com"),  # 1
    ("i\u0307xlar", "ixlar-2@example.com"),  # 2: Python's lower() is not the database's
    ("xyΣ", "\u0130lker@example.com"),  # 3
    ("xyς", "i\u0307lker@example.com"),  # 4: both
    ("modern", "modern@example.com"),  # 5
    ("modem", "modem@example.com"),  # 6: looks the same
    ("zoe\u0308", "jos\u00e9@example.com"),  # 7: decomposed
    ("zo", "zo@example.com"),  # 8: as short as names could be
    ("n" * 50, "ann@b\u00fccher.example"),  # 9: as long
    ("alice\u200d", "alice@example.com"),  # 10: nobody may take such a name any more
    ("plain", "plain@example.com"),  # 11
]
COLLISIONS = [
    {"user_id": user, "username": username, "field": field, "other_id": other, "other_username": its}
    for user, username, field, other, its in [
        (2, "i\u0307xlar", "username_key", 1, "İxlar"),
        (2, "i\u0307xlar", "username_skeleton", 1, "İxlar"),
        (4, "xyς", "email_key", 3, "xyΣ"),
        (4, "xyς", "username_key", 3, "xyΣ"),
        (6, "modem", "username_skeleton", 5, "modern"),
    ]
]


class Hasher:
    """Knows one password."""

    def hash(self, password: str) -> str:
        return domain.hash_password(password, COST)

    def matches(self, password_hash: str | None, password: str) -> bool:
        return password_hash is not None and domain.password_matches(password_hash, password)


@pytest.fixture(scope="module", params=["C", "C.UTF-8"])
def databases(request: pytest.FixtureRequest, servers: ServerUrls) -> Iterator[Databases]:
    """A database of the release before, with accounts, brought up to date. Its name tells its locale."""
    fresh = Databases.create(servers.postgres)
    name = make_url(fresh.auth).database
    statements = [
        sql.SQL("DROP DATABASE {}").format(sql.Identifier(str(name))),
        sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE {} LC_CTYPE {}").format(
            sql.Identifier(str(name)), sql.Literal(request.param), sql.Literal(request.param)
        ),
    ]
    server = connect(servers.postgres)
    with server.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    server.close()
    assert alembic(fresh, "auth", "upgrade", "0002").returncode == 0
    fill(fresh)
    upgraded = alembic(fresh, "auth", "upgrade", "head")
    assert upgraded.returncode == 0, upgraded.stderr
    assert upgraded.stderr.count("accounts collide") == len(COLLISIONS)
    yield fresh
    fresh.drop()


def fill(databases: Databases) -> None:
    rows = [(*account, domain.hash_password(PASSWORD, COST), "user", 1, NOW, NOW) for account in ACCOUNTS]
    answer = '{"id": 1, "username": "gone", "email": "gone@example.com", "role": "user"}'
    with connect(databases.auth) as connection, connection.cursor() as cursor:
        columns = "username, email, password_hash, role, version, created_at, updated_at"
        execute_values(cursor, f"INSERT INTO users ({columns}) VALUES %s", rows)
        execute_values(
            cursor,
            "INSERT INTO idempotency_keys VALUES %s",
            [(b"1", b"", answer, NOW), (b"2", b"", None, NOW), (b"3", b"", '"a text with email"', NOW)],
        )
    connection.close()


@pytest.fixture
def transaction(databases: Databases) -> Iterator[Transaction]:
    bind = engine(databases.auth.replace("postgresql://", "postgresql+psycopg2://"), pool_size=2)
    yield Transaction(bind)
    bind.dispose()


def signed_in_as(transaction: Transaction, email: str) -> str:
    settings = domain.TokenSettings(60, "")
    command = parse(commands.Login, {"email": email, "password": PASSWORD})
    answer = handlers.login(transaction, Hasher(), settings, command, Write(datetime.now(UTC)))
    return str(answer["user"])


def register(transaction: Transaction, username: str, email: str) -> dict[str, Any]:
    fields = {"username": username, "email": email, "password": PASSWORD, "confirm_password": PASSWORD}
    return handlers.register(transaction, Hasher(), parse(commands.Register, fields), Write(NOW))


def test_accounts_that_collide_are_listed_and_nothing_is_lost(transaction: Transaction) -> None:
    assert handlers.collisions(transaction) == COLLISIONS


@pytest.mark.parametrize("number", range(len(ACCOUNTS)))
def test_everybody_signs_in_with_the_address_that_they_registered(
    transaction: Transaction, number: int
) -> None:
    username, email = ACCOUNTS[number]
    shown = signed_in_as(transaction, email)
    assert shown == ("zo\u00eb" if username == "zoe\u0308" else username)


def test_any_form_of_an_address_that_two_have_is_the_first_ones(transaction: Transaction) -> None:
    assert signed_in_as(transaction, "I\u0307LKER@example.com") == "xyΣ"


def test_forms_that_were_refused_before_sign_in_now(transaction: Transaction) -> None:
    assert signed_in_as(transaction, "jose\u0301@example.com") == "zoë"
    assert signed_in_as(transaction, "ann@xn--bcher-kva.example") == "n" * 50


@pytest.mark.parametrize(
    "email", ["nobody@example.com", "", "no address", "\u0130lker@example", "%@example.com"]
)
def test_an_address_that_nobody_has_signs_nobody_in(transaction: Transaction, email: str) -> None:
    with pytest.raises(Unauthenticated):
        signed_in_as(transaction, email)


@pytest.mark.parametrize("name", ["İxlar", "i\u0307xlar", "İXLAR", "xyΣ", "xyς", "XYσ"])
def test_a_role_is_not_given_to_one_of_two(transaction: Transaction, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        handlers.set_role(transaction, name, "moderator", Write(NOW))
    assert refused.value.errors.keys() == {"user"}
    assert "id:" in str(refused.value)


@pytest.mark.parametrize(
    ("user", "meant"),
    [
        (2, 2),
        ("id:4", 4),
        ("modem", 6),
        ("MODERN", 5),
        ("Zoë", 7),
        ("zoe\u0308", 7),
        ("ZO", 8),
        ("N" * 50, 9),
    ],
)
def test_a_role_is_given_to_the_one_that_is_meant(
    transaction: Transaction, user: str | int, meant: int
) -> None:
    assert handlers.set_role(transaction, user, "moderator", Write(NOW))["id"] == meant
    assert handlers.set_role(transaction, user, "user", Write(NOW))["role"] == "user"


@pytest.mark.parametrize("user", ["nobody-at-all", "", "id:", "id:x", "id:0", 10**6, "İx", "%"])
def test_a_role_for_nobody_is_refused(transaction: Transaction, user: str | int) -> None:
    with pytest.raises((NotFound, Invalid)):
        handlers.set_role(transaction, user, "moderator", Write(NOW))


@pytest.mark.parametrize("user", [None, True, 1.5, ["modern"], {}, 0, -1, 2**63, "a\0b", "\ud800"])
def test_what_names_nobody_is_invalid(user: Any) -> None:
    with pytest.raises(Invalid):
        AuthService.set_role(AuthService(), user, "moderator")


@pytest.mark.parametrize(
    ("username", "email", "field"),
    [
        *[("i\u0307XLAR", "free@example.com", "username"), ("İXlar", "free@example.com", "username")],
        *[("rnodern", "free@example.com", "username"), ("zoë", "free@example.com", "username")],
        *[("aIlce", "i\u0307LKER@example.com", "email"), ("newcomer", "JOSÉ@example.com", "email")],
        *[("newcomer", "Ann@xn--bcher-kva.example", "email"), ("newcomer", "modem@ｅxample.com", "email")],
    ],
)
def test_nobody_comes_in_beside_them_any_more(
    transaction: Transaction, username: str, email: str, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        register(transaction, username, email)
    assert refused.value.errors.keys() == {field}


def test_whoever_collides_may_change_and_collides_no_more(transaction: Transaction) -> None:
    def change(user_id: int, **fields: str) -> dict[str, Any]:
        command = parse(commands.UpdateProfile, {"current_password": PASSWORD, **fields})
        return handlers.update_profile(transaction, Hasher(), user_id, "s", command, Write(NOW))

    fourth = {**ACCOUNTS_BY_ID[4]}
    assert change(4, email="fourth@example.com")["email"] == "fourth@example.com"
    assert [each["field"] for each in handlers.collisions(transaction) if each["user_id"] == 4] == [
        "username_key"
    ]
    assert change(4, username="fourth")["username"] == "fourth"
    assert {each["user_id"] for each in handlers.collisions(transaction)} == {2, 6}
    assert signed_in_as(transaction, "FOURTH@example.com") == "fourth"
    with pytest.raises(Invalid):
        change(4, username=fourth["username"])


ACCOUNTS_BY_ID = {
    number: {"username": username, "email": email}
    for number, (username, email) in enumerate(ACCOUNTS, start=1)
}


def test_an_account_that_the_release_before_opens_meanwhile_is_keyed(
    databases: Databases, transaction: Transaction
) -> None:
    rows = [("Meanwhile", "meanwhile@example.com"), ("PLAIN2", "PLAIN@example.com")]
    with connect(databases.auth) as connection, connection.cursor() as cursor:
        for username, email in rows:
            values = (username, email, domain.hash_password(PASSWORD, COST), NOW, NOW)
            cursor.execute(
                "INSERT INTO users (username, email, password_hash, role, version, created_at, updated_at)"
                " VALUES (%s, %s, %s, 'user', 1, %s, %s)",
                values,
            )
    connection.close()
    assert signed_in_as(transaction, "meanwhile@example.com") == "Meanwhile"
    handlers.key_accounts(transaction, NOW)
    assert signed_in_as(transaction, "MEANWHILE@example.com") == "Meanwhile"
    assert signed_in_as(transaction, "PLAIN@example.com") == "PLAIN2"
    assert signed_in_as(transaction, "Plain@example.com") == "plain"
    assert [each["field"] for each in handlers.collisions(transaction) if each["username"] == "PLAIN2"] == [
        "email_key"
    ]
    handlers.key_accounts(transaction, NOW)


def test_a_name_that_is_brought_into_form_is_announced(databases: Databases) -> None:
    connection = connect(databases.auth)
    with connection.cursor() as cursor:
        cursor.execute("SELECT username FROM users WHERE id = 7")
        assert cursor.fetchall() == [("zoë",)]
        cursor.execute("SELECT envelope->'data' FROM outbox WHERE type = 'user_updated' ORDER BY id LIMIT 1")
        assert cursor.fetchall() == [({"version": 2, "user": {"id": 7, "username": "zoë"}, "role": "user"},)]
    connection.close()


def test_no_address_is_left_in_the_answers_that_are_kept(databases: Databases) -> None:
    connection = connect(databases.auth)
    with connection.cursor() as cursor:
        cursor.execute("SELECT answer::text FROM idempotency_keys ORDER BY key")
        answers = [answer for (answer,) in cursor]
    connection.close()
    assert "gone@example.com" not in str(answers)
    assert answers[1:] == [None, '"a text with email"']


def test_two_that_register_one_key_at_once_are_one(databases: Databases) -> None:
    connection = connect(databases.auth)
    insert = (
        "INSERT INTO users"
        " (username, email, username_key, password_hash, role, version, created_at, updated_at)"
        " VALUES (%s, %s, 'plain', '', 'user', 1, now(), now())"
    )
    with (
        connection.cursor() as cursor,
        pytest.raises(psycopg2.errors.UniqueViolation, match="users_username_key"),
    ):
        cursor.execute(insert, ("Plain", "other@example.com"))
    connection.close()


def test_it_goes_down_and_up_again(servers: ServerUrls) -> None:
    databases = Databases.create(servers.postgres)
    try:
        assert alembic(databases, "auth", "upgrade", "0002").returncode == 0
        fill(databases)
        before = tables(databases.auth)
        for command in (("upgrade", "head"), ("downgrade", "0002")):
            ended = alembic(databases, "auth", *command)
            assert ended.returncode == 0, ended.stderr
        assert tables(databases.auth) == before
        assert alembic(databases, "auth", "upgrade", "head").returncode == 0
    finally:
        databases.drop()
