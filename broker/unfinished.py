"""The mark of a restore that was broken off between the two databases: nobody serves or migrates such data.

It stands where Alembic keeps the schema's revision, in front of that, so that whatever asks meets it.
"""

from sqlalchemy import Connection, text

# Alembic's column takes 32 characters. It sorts before every revision, as what is not migrated yet does.
MARK = "!restore unfinished: "
SENTENCE = (
    "a restore was broken off here, and the two databases do not belong together: run it again "
    "(make restore FILE=...)"
)


def is_marked(connection: Connection) -> bool:
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return False
    revision = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision is not None and str(revision).startswith(MARK)


def mark(connection: Connection) -> None:
    connection.execute(text("UPDATE alembic_version SET version_num = :mark || version_num"), {"mark": MARK})


def take_mark_off(connection: Connection) -> None:
    """Where there is one."""
    if is_marked(connection):
        statement = text("UPDATE alembic_version SET version_num = substr(version_num, :from)")
        connection.execute(statement, {"from": len(MARK) + 1})
