"""What the platform needs to be ready, and what is said where that is not so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from psycopg2 import sql
from sqlalchemy.engine import make_url

from tests.clients import Account, sign_up
from tests.platforms import FullDeployment, connect
from tests.processes import wait_until
from tests.servers import ServerUrls

SECONDS = 60
FULL = """
    CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER full_disk BEFORE INSERT ON movies FOR EACH ROW EXECUTE FUNCTION full_disk();
    CREATE TRIGGER full_disk BEFORE INSERT ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION full_disk();
"""


def why_not_ready(door: str) -> str | None:
    answer = requests.get(f"{door}/health/ready", timeout=10)
    assert answer.status_code in (200, 503)
    return None if answer.status_code == 200 else str(answer.json()["message"])


def execute(url: str, *statements: str | sql.Composed) -> None:
    connection = connect(url)
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


def lines(deployment: FullDeployment, part: str, *, of: str) -> list[str]:
    """Those of its log that say something, and that no traceback is among them."""
    log = deployment.process(part).log.read_text()
    assert "Traceback" not in log, log
    return [line for line in log.splitlines() if of in line]


@pytest.fixture(scope="module")
def deployment(apart: ServerUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullDeployment]:
    """Services, a gateway and a notifier that were started before `make migrate`."""
    started = FullDeployment(apart, tmp_path_factory.mktemp("readiness"))
    started.environment["GATEWAY_START_TIMEOUT"] = "0.1"
    try:
        for part in started.parts:
            started.start_part(part)
        yield started
    finally:
        started.stop()


def wait_until_it_says(deployment: FullDeployment, sentence: str | None) -> None:
    wait_until(lambda: why_not_ready(deployment.gateways[0]) == sentence, SECONDS, f"it says {sentence}")


@pytest.fixture(scope="module")
def account(deployment: FullDeployment) -> Account:
    return sign_up(deployment.gateways[0])


def test_started_before_they_are_migrated_they_wait_with_one_line_and_serve_then(
    deployment: FullDeployment,
) -> None:
    gateway = deployment.gateways[0]
    wait_until(lambda: deployment.process("gateway-0").is_running() and listens(gateway), SECONDS, "listens")
    not_migrated = "The database is not migrated to what this release needs"
    wait_until(lambda: not_migrated in (why_not_ready(gateway) or ""), SECONDS, "it is said")
    for part in ("auth", "movies"):
        status = requests.get(f"{gateway}/api/{part}/status", timeout=10)
        assert status.status_code == 500
        assert status.json() == {"status": "ERROR", "database": "Not connected", "error": not_migrated}
    for _ in range(20):
        assert requests.get(f"{gateway}/api/movies", timeout=10).status_code == 503
    for part in ("auth", "movies"):
        (line,) = lines(deployment, f"{part}-0", of="migrate")
        assert "waiting for `make migrate`" in line
        assert (
            len(lines(deployment, f"{part}-0", of=" WARNING ") + lines(deployment, f"{part}-0", of="ERROR"))
            < 4
        )
    deployment.migrate()
    for door in (gateway, deployment.notifiers[0]):
        wait_until(lambda door=door: why_not_ready(door) is None, SECONDS, "it is ready")
    assert requests.get(f"{gateway}/api/movies", timeout=10).status_code == 200
    assert lines(deployment, "movies-0", of="movies is ready again")


def listens(door: str) -> bool:
    try:
        return bool(requests.get(f"{door}/health/live", timeout=5))
    except requests.ConnectionError:
        return False


def test_a_read_only_database_is_503_for_who_writes_and_not_ready(
    deployment: FullDeployment, account: Account
) -> None:
    database = make_url(deployment.databases.movies).database or ""
    here = sql.Identifier(database)
    execute(
        deployment.servers.postgres,
        sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(here),
        sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}").format(
            sql.Literal(database)
        ),
    )
    wait_until_it_says(deployment, "The movies service cannot serve: The database is read-only")
    assert account.api.get("/api/movies").status_code == 200
    for _ in range(20):
        assert account.api.post("/api/movies", {"title": "Kept out"}).status_code == 503
    assert len(lines(deployment, "movies-0", of="answers 503: The database is read-only")) == 1
    execute(
        deployment.servers.postgres,
        sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(here),
    )
    # The connections that are open stay read-only, and are given up.
    wait_until_it_says(deployment, None)
    assert account.api.post("/api/movies", {"title": "Let in"}).status_code == 201


def test_a_full_disk_is_found_by_a_write_and_over_with_one_that_works(
    deployment: FullDeployment, account: Account
) -> None:
    execute(deployment.databases.movies, FULL)
    for _ in range(20):
        assert account.api.post("/api/movies", {"title": "No room"}).status_code == 503
    wait_until_it_says(deployment, "The movies service cannot serve: The disk of the database is full")
    (line,) = lines(deployment, "movies-0", of="answers 503: The disk of the database is full")
    assert "No space left on device" in line
    execute(deployment.databases.movies, "DROP FUNCTION full_disk CASCADE")
    wait_until_it_says(deployment, None)
    assert account.api.post("/api/movies", {"title": "Room"}).status_code == 201


def test_a_later_schema_is_ours_where_it_says_so(deployment: FullDeployment, account: Account) -> None:
    connection = connect(deployment.databases.auth)
    with connection.cursor() as cursor:
        cursor.execute("SELECT version_num FROM alembic_version")
        (revision,) = cursor.fetchone() or ("",)
        cursor.execute("COMMENT ON TABLE alembic_version IS 'serves services from revision 9998'")
        cursor.execute("UPDATE alembic_version SET version_num = '9999'")
        too_new = "The auth service cannot serve: The database is of a later release than this one"
        wait_until_it_says(deployment, too_new)
        assert account.api.get("/api/auth/me").status_code == 503
        cursor.execute(f"COMMENT ON TABLE alembic_version IS 'serves services from revision {revision}'")
        wait_until_it_says(deployment, None)
        assert account.api.get("/api/auth/me").status_code == 200
        cursor.execute("UPDATE alembic_version SET version_num = %s", [revision])
    connection.close()
