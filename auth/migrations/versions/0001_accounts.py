"""Accounts, sessions, signing keys and the outbox."""

from alembic import op

from broker.outbox import DROP_1, SCHEMA_1

revision = "0001"
down_revision = None

TABLES = (
    """
    CREATE TABLE users (
        id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        username      text NOT NULL,
        email         text NOT NULL,
        password_hash text NOT NULL,
        role          text NOT NULL CHECK (role IN ('user', 'moderator', 'admin')),
        version       bigint NOT NULL,
        created_at    timestamptz NOT NULL,
        updated_at    timestamptz NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX users_username ON users (lower(username))",
    "CREATE UNIQUE INDEX users_email ON users (lower(email))",
    "CREATE INDEX users_staff ON users (id) WHERE role <> 'user'",
    """
    CREATE TABLE sessions (
        id         text PRIMARY KEY,
        user_id    bigint NOT NULL,
        expires_at timestamptz NOT NULL,
        revoked_at timestamptz
    )
    """,
    "CREATE INDEX sessions_user ON sessions (user_id)",
    "CREATE INDEX sessions_expires ON sessions (expires_at)",
    "CREATE INDEX sessions_revoked ON sessions (expires_at) WHERE revoked_at IS NOT NULL",
    """
    CREATE TABLE signing_keys (
        kid        text PRIMARY KEY,
        pem        text NOT NULL,
        created_at timestamptz NOT NULL,
        retired_at timestamptz
    )
    """,
)


def upgrade() -> None:
    for statement in TABLES + SCHEMA_1:
        op.execute(statement)


def downgrade() -> None:
    for table in ("signing_keys", "sessions", "users"):
        op.execute(f"DROP TABLE {table}")
    for statement in DROP_1:
        op.execute(statement)
