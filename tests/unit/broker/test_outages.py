"""What a failure of the database means."""

from __future__ import annotations

import psycopg2
import pytest
from psycopg2 import errors
from sqlalchemy import exc

from broker.outages import Kind, SharedSession, outage


def failed(kind: type[psycopg2.Error], wrapper: type[exc.DBAPIError], code: str | None) -> exc.DBAPIError:
    class Answered(kind):  # type: ignore[misc, valid-type]
        pgcode = code

    return wrapper("SELECT 1", None, Answered("what it says\nLINE 1: SELECT"))


@pytest.mark.parametrize(
    ("error", "kind", "detail"),
    [
        (failed(errors.InternalError_, exc.InternalError, "25006"), Kind.NO_WRITES, "what it says (25006)"),
        (
            failed(psycopg2.OperationalError, exc.OperationalError, "53100"),
            Kind.NO_WRITES,
            "what it says (53100)",
        ),
        (failed(psycopg2.OperationalError, exc.OperationalError, "53200"), Kind.BUSY, "what it says (53200)"),
        (failed(psycopg2.OperationalError, exc.OperationalError, "53300"), Kind.AWAY, "what it says (53300)"),
        (failed(psycopg2.OperationalError, exc.OperationalError, "57P03"), Kind.AWAY, "what it says (57P03)"),
        (failed(psycopg2.OperationalError, exc.OperationalError, "57014"), Kind.BUSY, "what it says (57014)"),
        (failed(psycopg2.OperationalError, exc.OperationalError, None), Kind.AWAY, "what it says"),
        (
            failed(psycopg2.ProgrammingError, exc.ProgrammingError, "42P01"),
            Kind.SCHEMA,
            "what it says (42P01)",
        ),
        (
            failed(psycopg2.ProgrammingError, exc.ProgrammingError, "42703"),
            Kind.SCHEMA,
            "what it says (42703)",
        ),
        (exc.TimeoutError("QueuePool limit"), Kind.BUSY, "all connections of this process are in use"),
        (exc.OperationalError("", None, SharedSession()), Kind.AWAY, str(SharedSession())),
    ],
)
def test_what_is_the_databases_own_fault(error: exc.SQLAlchemyError, kind: Kind, detail: str) -> None:
    found = outage(error)
    assert found is not None
    assert (found.kind, found.detail) == (kind, detail)
    assert detail == found.sentence or detail not in found.sentence


@pytest.mark.parametrize(
    "error",
    [
        failed(psycopg2.ProgrammingError, exc.ProgrammingError, "42601"),
        failed(psycopg2.IntegrityError, exc.IntegrityError, "23505"),
        failed(psycopg2.DataError, exc.DataError, "22003"),
        exc.InvalidRequestError("a mistake of ours"),
    ],
)
def test_what_is_a_statements_fault_is_none(error: exc.SQLAlchemyError) -> None:
    assert outage(error) is None
