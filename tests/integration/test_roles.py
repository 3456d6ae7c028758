"""PostgreSQL's roles in compose: each start gives them the passwords of now, on an older volume too."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import psycopg2
import pytest
from sqlalchemy.engine import URL, make_url

from tests.processes import ROOT
from tests.servers import Postgres

NAMES = ("auth", "movies")


@pytest.fixture
def server() -> Iterator[URL]:
    """One that asks all but its superuser for their passwords, as that of the official image does."""
    with Postgres() as postgres:
        postgres.stop()
        ways = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (postgres.folder / "data" / "pg_hba.conf").write_text(ways)
        postgres.start()
        yield make_url(postgres.url)


def give(server: URL, password: str) -> None:
    environment = {
        "PGHOST": server.host or "",
        "PGPORT": str(server.port),
        "PGPASSWORD": server.password or "",
        "POSTGRES_USER": server.username or "",
        "POSTGRES_PASSWORD": server.password or "",
        **{f"{name.upper()}_DATABASE_PASSWORD": f"{name} {password}" for name in NAMES},
    }
    script = ["bash", ROOT / "broker" / "postgres-init.sh"]
    subprocess.run(script, env={**os.environ, **environment}, check=True, capture_output=True, timeout=60)


def enter(server: URL, role: str, password: str, database: str) -> str:
    connection = psycopg2.connect(
        host=server.host, port=server.port, user=role, password=f"{role} {password}", dbname=database
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        (user,) = cursor.fetchone() or ("",)
    connection.close()
    return str(user)


def test_each_start_sets_the_passwords_of_now(server: URL) -> None:
    give(server, "of development")
    assert [enter(server, name, "of development", name) for name in NAMES] == list(NAMES)
    give(server, "of 'production' \\ \"$HOME\"")
    assert [enter(server, name, "of 'production' \\ \"$HOME\"", name) for name in NAMES] == list(NAMES)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        enter(server, "auth", "of development", "auth")
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        enter(server, "auth", "of 'production' \\ \"$HOME\"", "movies")
