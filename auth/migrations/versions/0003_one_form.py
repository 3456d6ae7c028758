"""Usernames and e-mail addresses are found by keys that Python makes, whatever the database's locale.

Accounts that were let in beside each other and have one key now are listed in `account_collisions`: the first
keeps the key, the others are found by the exact text that they were registered with.

The release before goes on: it finds accounts by `lower()`, whose indexes stay for that, for a later release
to drop, and what it registers has no keys until the service gives it some. Where there are accounts already,
their keys and the indexes are made in steps that may be repeated, and nobody waits for them.
"""

import sys

from alembic import op
from sqlalchemy import Connection, func, select, text
from sqlalchemy.orm import Session

from auth import keying
from broker.migration import build_index, in_steps

revision = "0003"
down_revision = "0002"

KEYS = ("username_key", "username_skeleton", "email_key")

TABLES = (
    "DROP INDEX IF EXISTS users_username, users_email",
    """
    ALTER TABLE users
        ALTER COLUMN username TYPE text COLLATE "C",
        ALTER COLUMN email TYPE text COLLATE "C",
        ADD COLUMN IF NOT EXISTS username_key text COLLATE "C",
        ADD COLUMN IF NOT EXISTS username_skeleton text COLLATE "C",
        ADD COLUMN IF NOT EXISTS email_key text COLLATE "C",
        ADD COLUMN IF NOT EXISTS renamed_at timestamptz
    """,
    """
    CREATE TABLE IF NOT EXISTS account_collisions (
        user_id  bigint NOT NULL REFERENCES users ON DELETE CASCADE,
        field    text COLLATE "C" NOT NULL,
        key      text COLLATE "C" NOT NULL,
        PRIMARY KEY (user_id, field)
    )
    """,
    "CREATE INDEX IF NOT EXISTS account_collisions_key ON account_collisions (key, field)",
)
INDEXES = {
    # An account without a key is found by these.
    "users_username": "UNIQUE ON users (username)",
    "users_email": "UNIQUE ON users (email)",
    # And by the release before by these.
    "users_lower_username": "ON users (lower(username))",
    "users_lower_email": "ON users (lower(email))",
    **{f"users_{key}": f"UNIQUE ON users ({key})" for key in KEYS},
    "users_renamed": "ON users (renamed_at) WHERE renamed_at IS NOT NULL",
    "users_unkeyed": "ON users (id)"
    " WHERE username_key IS NULL OR username_skeleton IS NULL OR email_key IS NULL",
}
# What a registration or a change of the profile answered held the address of whoever may be gone by now.
FORGET_ADDRESSES = text(
    """
    UPDATE idempotency_keys SET answer = answer - 'email'
    WHERE key IN (
        SELECT key FROM idempotency_keys
        WHERE jsonb_typeof(answer) = 'object' AND answer ? 'email' LIMIT 5000)
    """
)

AFTER = (
    "DROP TABLE account_collisions",
    "DROP INDEX users_username, users_email, users_lower_username, users_lower_email",
    """
    ALTER TABLE users
        DROP COLUMN username_key,
        DROP COLUMN username_skeleton,
        DROP COLUMN email_key,
        DROP COLUMN renamed_at,
        ALTER COLUMN username TYPE text COLLATE "default",
        ALTER COLUMN email TYPE text COLLATE "default"
    """,
    "CREATE UNIQUE INDEX users_username ON users (lower(username))",
    "CREATE UNIQUE INDEX users_email ON users (lower(email))",
)


def upgrade() -> None:
    connection = op.get_bind()
    for statement in TABLES:
        op.execute(statement)
    if connection.scalar(text("SELECT EXISTS (SELECT FROM users)")):
        with op.get_context().autocommit_block():
            for name, definition in INDEXES.items():
                build_index(op.get_bind(), name, definition)
            in_steps(op.get_bind(), _key_accounts)
            in_steps(op.get_bind(), lambda own: own.execute(FORGET_ADDRESSES).rowcount > 0)
    else:
        for name, definition in INDEXES.items():
            unique, of = definition.rpartition("UNIQUE ")[1:]
            op.execute(f"CREATE {unique}INDEX {name} {of}")


def _key_accounts(connection: Connection) -> bool:
    """A batch of them; whether there were any."""
    with Session(connection) as session:
        keyed, collisions = keying.key_some(session, session.execute(select(func.now())).scalar_one())
        for collision in collisions:
            # Said by whatever runs a migration, whether it has set logging up or not.
            print(f"accounts collide: {collision}", file=sys.stderr)
        session.commit()
    return keyed


def downgrade() -> None:
    for statement in AFTER:
        op.execute(statement)
