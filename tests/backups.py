"""Backup and restore as an operator runs them, and databases with something in them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from broker.backup import migrating, restoring, writing
from broker.backup.databases import Sessions
from broker.backup.manifest import DatabaseName
from broker.config import Settings
from broker.database import Transaction, engine
from broker.history import History
from movies import sample
from tests.platforms import Databases, connect
from tests.processes import run

PEOPLE = ("zoë", "tab\tin it", "back\\slash", "o'hara", "\\N")
USER = """
    INSERT INTO users (username, email, password_hash, role, version, created_at, updated_at)
    VALUES (%s, %s, 'scrypt:1:1:1$x', 'user', 3, now(), now())
"""
REVIEWER = "INSERT INTO reviewers (user_id, username, version) VALUES (%s, %s, 3)"
REVIEW = """
    INSERT INTO reviews (movie_id, user_id, title, body, rating, spoiler, created_at, updated_at)
    VALUES (%s, %s, %s, %s, 8.5, false, now(), now())
"""
# What a restore must bring back as it was, whatever a new history changes.
KEPT = {
    "auth": (
        "SELECT id, username, email, password_hash, role, created_at, updated_at FROM users ORDER BY id",
        "SELECT source, type, envelope -> 'data' FROM outbox ORDER BY id",
    ),
    "movies": (
        "SELECT * FROM movies ORDER BY id",
        "SELECT movie_id, review_count, rating_sum, popularity, rating FROM movie_stats ORDER BY movie_id",
        "SELECT * FROM reviews ORDER BY id",
        "SELECT * FROM review_likes ORDER BY review_id, user_id",
        "SELECT user_id, username FROM reviewers ORDER BY user_id",
        "SELECT * FROM installation",
    ),
}
MADE = """
    SELECT indexdef AS made FROM pg_indexes WHERE schemaname = 'public'
    UNION SELECT pg_get_constraintdef(oid) FROM pg_constraint
    UNION SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY made
"""


def command(
    *words: str | Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command, as an operator runs it."""
    return run([sys.executable, "-m", "broker.backup", *words], environment)


def refusal(*words: str | Path, environment: Mapping[str, str]) -> str:
    """The one line by which a command ends, after whatever it had to say of its progress."""
    ended = command(*words, environment=environment)
    assert ended.returncode in (1, 2), ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    return ended.stderr.splitlines()[-1]


def environment(databases: Databases) -> dict[str, str]:
    """That of a deployment on real databases whose broker nobody asks."""
    return {
        "AUTH_DATABASE_URL": databases.auth,
        "MOVIES_DATABASE_URL": databases.movies,
        "AMQP_URI": "memory://",
    }


def written(file: Path, environment: Mapping[str, str]) -> Path:
    """A backup, by what `make backup` calls."""
    return writing.write(Settings.model_validate(environment), file, replace=False)


def restored(
    file: Path, environment: Mapping[str, str], *only: DatabaseName, replace: bool = False
) -> History:
    """A restore, by what `make restore` calls."""
    plan = restoring.Plan(file, only or ("auth", "movies"), replace)
    return restoring.restore(Settings.model_validate(environment), plan)


def migrate(databases: Databases, revision: str = "head") -> None:
    parts: tuple[DatabaseName, ...] = ("auth", "movies")
    for part in parts:
        with Sessions().transaction(getattr(databases, part)) as connection:
            migrating.upgrade(part, connection, revision)
            connection.commit()


def fill(databases: Databases) -> None:
    """Migrated databases get the sample catalogue, and people who have reviewed it."""
    bind = engine(databases.movies, 1)
    sample.load(Transaction(bind, 60), datetime.now(UTC))
    bind.dispose()
    auth, movies = connect(databases.auth), connect(databases.movies)
    with auth.cursor() as users, movies.cursor() as reviews:
        for number, name in enumerate(PEOPLE, 1):
            users.execute(USER, [name, f"{number}@example.com"])
            reviews.execute(REVIEWER, [number, name])
            reviews.execute(REVIEW, [number, number, name, f"{name}\n\r\t\\. "])
        reviews.execute("INSERT INTO review_likes SELECT 1, n FROM generate_series(2, 4) AS n")
    auth.close()
    movies.close()


def kept(databases: Databases) -> dict[str, list[list[tuple[object, ...]]]]:
    """What a restore must bring back as it was, and how its tables are made."""
    found = {}
    for part, questions in KEPT.items():
        connection = connect(getattr(databases, part))
        with connection.cursor() as cursor:
            found[part] = []
            for question in (*questions, MADE):
                cursor.execute(question)
                found[part].append(cursor.fetchall())
        connection.close()
    return found
