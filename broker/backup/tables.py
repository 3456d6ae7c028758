"""The tables of a database, whatever release made them: what they are, their rows out, and rows in.

Everything in the schema in which Alembic keeps its table is the platform's, but for what an extension
brought. Rows travel as COPY's text, which every PostgreSQL reads alike.
"""

from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Driver
from sqlalchemy import Connection, text

VERSION_TABLE = "alembic_version"
# What COPY's text depends on beside the rows.
SPEAK_ALIKE = {
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}

_OURS = """
    relation.relnamespace = CAST(current_schema() AS regnamespace) AND relation.relpersistence = 'p'
    AND NOT EXISTS (
        SELECT FROM pg_depend
        WHERE classid = CAST('pg_class' AS regclass) AND objid = relation.oid AND deptype = 'e'
    )
"""
_COLUMNS = text(
    f"""
    SELECT relation.relname AS name, array_agg(attname ORDER BY attnum) AS columns
    FROM pg_class AS relation JOIN pg_attribute ON attrelid = relation.oid
    WHERE relkind IN ('r', 'p') AND NOT relispartition
        AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND {_OURS}
    GROUP BY relation.relname ORDER BY relation.relname
    """  # noqa: S608
)
_REFERENCES = text(
    """
    SELECT DISTINCT referring.relname AS referring, referred.relname AS referred
    FROM pg_constraint JOIN pg_class AS referring ON referring.oid = conrelid
        JOIN pg_class AS referred ON referred.oid = confrelid
    WHERE contype = 'f' AND conrelid <> confrelid
    """
)
_SEQUENCES = text(
    "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = current_schema() ORDER BY 1"
)
# What a constraint needs stays; the others are made again over the rows, which is quicker than beside them.
_INDEXES = text(
    """
    SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
    FROM pg_index
    WHERE indrelid = CAST(quote_ident(:table) AS regclass)
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
    ORDER BY indexrelid
    """
)
_FUNCTIONS = text(
    """
    SELECT CAST(CAST(oid AS regprocedure) AS text) FROM pg_proc
    WHERE pronamespace = CAST(current_schema() AS regnamespace) AND prokind = 'f'
        AND pg_has_role(proowner, 'USAGE')
        AND NOT EXISTS (
            SELECT FROM pg_depend
            WHERE classid = CAST('pg_proc' AS regclass) AND objid = pg_proc.oid AND deptype = 'e'
        )
    """
)


@dataclass(frozen=True)
class Shape:
    """A table's name, and the columns that are stored."""

    name: str
    columns: tuple[str, ...]


def shapes(connection: Connection) -> list[Shape]:
    """All tables but Alembic's, each after those that it refers to."""
    found = {row.name: Shape(row.name, tuple(row.columns)) for row in connection.execute(_COLUMNS)}
    found.pop(VERSION_TABLE, None)
    order: TopologicalSorter[str] = TopologicalSorter({name: set() for name in found})
    for row in connection.execute(_REFERENCES):
        if row.referring in found and row.referred in found:
            order.add(row.referring, row.referred)
    return [found[name] for name in order.static_order()]


def revision(connection: Connection) -> str | None:
    """Of the schema, as Alembic has it; None where it never made one."""
    if connection.scalar(text(f"SELECT to_regclass('{VERSION_TABLE}')")) is None:
        return None
    found = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    return None if found is None else str(found)


def sequences(connection: Connection) -> dict[str, int | None]:
    """What each gave out last; None where it never did."""
    return {row.sequencename: row.last_value for row in connection.execute(_SEQUENCES)}


def driver(connection: Connection) -> Driver:
    """psycopg2's own connection, for COPY."""
    found: Any = connection.connection.driver_connection
    return found


def copy_out(connection: Connection, shape: Shape, file: Any) -> int:
    """Write a table's rows to `file`; how many they are."""
    with driver(connection).cursor() as cursor:
        cursor.copy_expert(_copy(shape, "COPY {} ({}) TO STDOUT"), file)
        return int(cursor.rowcount)


def copy_in(connection: Connection, shape: Shape, file: Any) -> int:
    """Put the rows that `file` gives into a table; how many they are."""
    with driver(connection).cursor() as cursor:
        cursor.copy_expert(_copy(shape, "COPY {} ({}) FROM STDIN"), file)
        return int(cursor.rowcount)


def _copy(shape: Shape, statement: str) -> sql.Composed:
    columns = sql.SQL(", ").join(map(sql.Identifier, shape.columns))
    return sql.SQL(statement).format(sql.Identifier(shape.name), columns)


def quoted(connection: Connection, name: str) -> str:
    return sql.Identifier(name).as_string(driver(connection))


def take_indexes_off(connection: Connection, shape: Shape) -> list[str]:
    """Drop the indexes that no constraint needs; what makes them again."""
    rows = connection.execute(_INDEXES, {"table": shape.name}).all()
    for row in rows:
        connection.exec_driver_sql(f"DROP INDEX {row.name}")
    return [row.definition for row in rows]


def empty(connection: Connection) -> None:
    """What a migration fills by itself makes room for the rows that were there."""
    if listed := _listed(connection):
        connection.exec_driver_sql(f"TRUNCATE {listed}")


def analyze(connection: Connection) -> None:
    """Tell the planner what is there now. Of all tables would be the system's, which databases share."""
    if listed := _listed(connection):
        connection.exec_driver_sql(f"ANALYZE {listed}")


def _listed(connection: Connection) -> str:
    return ", ".join(quoted(connection, shape.name) for shape in shapes(connection))


def drop_everything(connection: Connection) -> None:
    """Tables, their sequences, indexes and triggers, and functions of ours; extensions stay."""
    listed = ", ".join(filter(None, (_listed(connection), VERSION_TABLE)))
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {listed}")
    for function in connection.scalars(_FUNCTIONS).all():
        connection.exec_driver_sql(f"DROP FUNCTION {function}")


def set_sequence(connection: Connection, name: str, last: int) -> None:
    """The next that it gives out is the one after `last`."""
    statement = text("SELECT setval(CAST(quote_ident(:name) AS regclass), :last)")
    connection.execute(statement, {"name": name, "last": last})
