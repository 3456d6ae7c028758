"""Whoever writes is known by the uid that auth says, and the database knows the history that it is in.

The uids of those who wrote before are asked for by the service, so many at a time.
"""

from alembic import op

from broker import history_table

revision = "0004"
down_revision = "0003"

UIDS = (
    "ALTER TABLE reviewers ADD COLUMN uid uuid",
    "CREATE INDEX reviewers_without_uid ON reviewers (user_id) WHERE uid IS NULL",
)


def upgrade() -> None:
    for statement in (*UIDS, *history_table.SCHEMA_1):
        op.execute(statement)
    history_table.begin(op.get_bind(), 1)


def downgrade() -> None:
    for statement in (*history_table.DROP_1, "ALTER TABLE reviewers DROP COLUMN uid"):
        op.execute(statement)
