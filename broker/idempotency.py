"""Writes happen once: what a key has done already is answered, not done again."""

# What the migrations of auth and movies execute. Frozen: a change is a SCHEMA_2 and a migration that runs it.
SCHEMA_1 = (
    """
    CREATE TABLE idempotency_keys (
        key         bytea PRIMARY KEY,
        fingerprint bytea NOT NULL,
        answer      jsonb,
        created_at  timestamptz NOT NULL
    )
    """,
    "CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at)",
)

DROP_1 = ("DROP TABLE idempotency_keys",)
