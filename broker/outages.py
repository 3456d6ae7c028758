"""What a failure of the database means: whether it is the database's own, of which kind, in which words."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import psycopg2
from sqlalchemy import exc

DETAIL_CHARACTERS = 200


class SharedSession(psycopg2.OperationalError):
    """A pooler gives our session to others between two transactions."""

    def __init__(self) -> None:
        super().__init__(
            "a pooler in front of the database gives its sessions to others between two transactions: "
            "session pooling is needed (PgBouncer: pool_mode = session)"
        )


class Kind(Enum):
    AWAY = "it does not serve us"
    NO_WRITES = "it can be read, and takes nothing"
    SCHEMA = "what is in it is not as this release needs"
    BUSY = "it is there, and had no time or no room for this"


@dataclass(frozen=True)
class Outage:
    """`sentence` is for whoever asks, `detail` for operators alone: it may name hosts, users and files."""

    kind: Kind
    sentence: str
    detail: str


AWAY = "The database cannot be reached"
NOT_MIGRATED = "The database is not migrated to what this release needs"
READ_ONLY = "The database is read-only"

# By SQLSTATE, the class where the code itself is not there:
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_KNOWN: Mapping[str, tuple[Kind, str]] = {
    "08": (Kind.AWAY, AWAY),  # connection exceptions
    "25006": (Kind.NO_WRITES, READ_ONLY),
    "28": (Kind.AWAY, "The database does not let this service in"),
    "3D000": (Kind.AWAY, "The database is not there"),
    "3F000": (Kind.SCHEMA, NOT_MIGRATED),  # no such schema,
    "42P01": (Kind.SCHEMA, NOT_MIGRATED),  # table,
    "42703": (Kind.SCHEMA, NOT_MIGRATED),  # column,
    "42883": (Kind.SCHEMA, NOT_MIGRATED),  # function,
    "42704": (Kind.SCHEMA, NOT_MIGRATED),  # object
    "42501": (Kind.SCHEMA, "The database does not let this service use its tables"),
    "53": (Kind.BUSY, "The database is short of memory"),
    "53100": (Kind.NO_WRITES, "The disk of the database is full"),
    "53300": (Kind.AWAY, "The database takes no more connections"),
    "57P": (Kind.AWAY, "The database is starting or stopping"),
    "58": (Kind.AWAY, "The database cannot read or write its files"),
    "XX": (Kind.AWAY, "The database has an error of its own"),
}
_SLOW = (Kind.BUSY, "The database has no time for this")


def outage(error: exc.SQLAlchemyError) -> Outage | None:
    """The outage that `error` comes of; None where it is the statement's own fault, and so ours."""
    if isinstance(error, exc.TimeoutError):
        return Outage(Kind.BUSY, _SLOW[1], "all connections of this process are in use")
    if not isinstance(error, exc.DBAPIError):
        return None
    if isinstance(error.orig, SharedSession):  # which whoever asks can do something about
        return Outage(Kind.AWAY, str(error.orig), str(error.orig))
    code = str(getattr(error.orig, "pgcode", None) or "")
    known = next((_KNOWN[key] for key in (code, code[:3], code[:2]) if key in _KNOWN), None)
    if known is None:
        if not (error.connection_invalidated or isinstance(error, exc.OperationalError | exc.InterfaceError)):
            return None
        known = _SLOW if code else (Kind.AWAY, AWAY)
    kind, sentence = known
    return Outage(kind, sentence, first_line(error))


def is_not_migrated(error: BaseException | None) -> bool:
    """Whether `error` comes of what is not there, or not there yet."""
    found = outage(error) if isinstance(error, exc.SQLAlchemyError) else None
    return found is not None and found.sentence == NOT_MIGRATED


def first_line(error: BaseException) -> str:
    """What the database or its driver says, without SQLAlchemy's remarks."""
    said = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    line = str(said).strip().partition("\n")[0] or type(said).__name__
    code = getattr(said, "pgcode", None)
    return f"{line[:DETAIL_CHARACTERS]} ({code})" if code else line[:DETAIL_CHARACTERS]
