"""Accounts have a uid beside their id, and the database knows the history that it is in.

The uid of an account that is there follows from its id and the moment when it was opened: a backup of before
this migration, restored and migrated, gives it the same one again, and no other account that one.
"""

from alembic import op
from sqlalchemy import Connection, text

from broker import history_table
from broker.migration import build_index, in_steps

revision = "0004"
down_revision = "0003"

# The default is for the release before, which does not know the column.
COLUMN = (
    "ALTER TABLE users ADD COLUMN IF NOT EXISTS uid uuid",
    "ALTER TABLE users ALTER COLUMN uid SET DEFAULT gen_random_uuid()",
)
INDEX = "ON users (uid)"
UIDS = text(
    """
    WITH batch AS (
        SELECT id FROM users WHERE id > :after ORDER BY id LIMIT 5000
    ), written AS (
        UPDATE users SET uid = CAST(
            md5('account ' || users.id || ' ' ||
                to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'))
            AS uuid)
        FROM batch WHERE users.id = batch.id AND uid IS NULL
    )
    SELECT max(id) FROM batch
    """
)


def upgrade() -> None:
    for statement in COLUMN:
        op.execute(statement)
    if op.get_bind().scalar(text("SELECT EXISTS (SELECT FROM users)")):
        with op.get_context().autocommit_block():
            _give_uids(op.get_bind())
            build_index(op.get_bind(), "users_uid", f"UNIQUE {INDEX}")
    else:
        op.execute(f"CREATE UNIQUE INDEX users_uid {INDEX}")
    for statement in ("ALTER TABLE users ALTER COLUMN uid SET NOT NULL", *history_table.SCHEMA_1):
        op.execute(statement)
    history_table.begin(op.get_bind(), 1)


def _give_uids(connection: Connection) -> None:
    last: int | None = 0

    def step(own: Connection) -> bool:
        nonlocal last
        last = own.scalar(UIDS, {"after": last})
        return last is not None

    in_steps(connection, step)


def downgrade() -> None:
    for statement in (*history_table.DROP_1, "ALTER TABLE users DROP COLUMN uid"):
        op.execute(statement)
