"""Accounts have a uid beside their id, and the database knows the history that it is in.

The uid of an account that is there follows from its id and the moment when it was opened: a backup of before
this migration, restored and migrated, gives it the same one again, and no other account that one.
"""

from alembic import op

from broker import history_table

revision = "0004"
down_revision = "0003"

UIDS = (
    "ALTER TABLE users ADD COLUMN uid uuid",
    """
    UPDATE users SET uid = CAST(
        md5('account ' || id || ' ' || to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'))
        AS uuid)
    """,
    # The default is for the release before, which does not know the column.
    "ALTER TABLE users ALTER COLUMN uid SET DEFAULT gen_random_uuid(), ALTER COLUMN uid SET NOT NULL",
    "CREATE UNIQUE INDEX users_uid ON users (uid)",
)


def upgrade() -> None:
    for statement in (*UIDS, *history_table.SCHEMA_1):
        op.execute(statement)
    history_table.begin(op.get_bind(), 1)


def downgrade() -> None:
    for statement in (*history_table.DROP_1, "ALTER TABLE users DROP COLUMN uid"):
        op.execute(statement)
