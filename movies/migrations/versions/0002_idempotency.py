"""Writes that happen once, and how long an event has waited."""

from alembic import op

from broker import idempotency, outbox

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for statement in idempotency.SCHEMA_1 + outbox.SCHEMA_2:
        op.execute(statement)


def downgrade() -> None:
    for statement in outbox.DROP_2 + idempotency.DROP_1:
        op.execute(statement)
