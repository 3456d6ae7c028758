"""Usernames and e-mail addresses are found by keys that Python makes, whatever the database's locale.

Accounts that were let in beside each other and have one key now are listed in `account_collisions`: the first
keeps the key, the others are found by the exact text that they were registered with.
"""

import sys

from alembic import op
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from auth import keying

revision = "0003"
down_revision = "0002"

KEYS = ("username_key", "username_skeleton", "email_key")

BEFORE = (
    "DROP INDEX users_username",
    "DROP INDEX users_email",
    """
    ALTER TABLE users
        ALTER COLUMN username TYPE text COLLATE "C",
        ALTER COLUMN email TYPE text COLLATE "C",
        ADD COLUMN username_key text COLLATE "C",
        ADD COLUMN username_skeleton text COLLATE "C",
        ADD COLUMN email_key text COLLATE "C",
        ADD COLUMN renamed_at timestamptz
    """,
    # An account without a key is found by these.
    "CREATE UNIQUE INDEX users_username ON users (username)",
    "CREATE UNIQUE INDEX users_email ON users (email)",
    *(f"CREATE UNIQUE INDEX users_{key} ON users ({key})" for key in KEYS),
    "CREATE INDEX users_renamed ON users (renamed_at) WHERE renamed_at IS NOT NULL",
    "CREATE INDEX users_unkeyed ON users (id)"
    " WHERE username_key IS NULL OR username_skeleton IS NULL OR email_key IS NULL",
    """
    CREATE TABLE account_collisions (
        user_id  bigint NOT NULL REFERENCES users ON DELETE CASCADE,
        field    text COLLATE "C" NOT NULL,
        key      text COLLATE "C" NOT NULL,
        PRIMARY KEY (user_id, field)
    )
    """,
    "CREATE INDEX account_collisions_key ON account_collisions (key, field)",
    # What a registration or a change of the profile answered held the address of whoever may be gone by now.
    "UPDATE idempotency_keys SET answer = answer - 'email'"
    " WHERE jsonb_typeof(answer) = 'object' AND answer ? 'email'",
)

AFTER = (
    "DROP TABLE account_collisions",
    "DROP INDEX users_username",
    "DROP INDEX users_email",
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
    for statement in BEFORE:
        op.execute(statement)
    session = Session(op.get_bind())
    for collision in keying.key_all(session, session.execute(select(func.now())).scalar_one()):
        # Said by whatever runs a migration, whether it has set logging up or not.
        print(f"accounts collide: {collision}", file=sys.stderr)
    session.flush()


def downgrade() -> None:
    for statement in AFTER:
        op.execute(statement)
