"""Whoever writes is known by the uid that auth says, and the database knows the history that it is in.

The uids of those who wrote before are asked for by the service, so many at a time.
"""

from alembic import op
from sqlalchemy import text

from broker import history_table
from broker.migration import build_index

revision = "0004"
down_revision = "0003"

INDEX = "ON reviewers (user_id) WHERE uid IS NULL"


def upgrade() -> None:
    op.execute("ALTER TABLE reviewers ADD COLUMN IF NOT EXISTS uid uuid")
    if op.get_bind().scalar(text("SELECT EXISTS (SELECT FROM reviewers)")):
        with op.get_context().autocommit_block():
            build_index(op.get_bind(), "reviewers_without_uid", INDEX)
    else:
        op.execute(f"CREATE INDEX reviewers_without_uid {INDEX}")
    for statement in history_table.SCHEMA_1:
        op.execute(statement)
    history_table.begin(op.get_bind(), 1)


def downgrade() -> None:
    for statement in (*history_table.DROP_1, "ALTER TABLE reviewers DROP COLUMN uid"):
        op.execute(statement)
