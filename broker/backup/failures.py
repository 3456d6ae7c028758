"""What ends a backup or a restore: one line for people."""

from psycopg2 import errors
from sqlalchemy import exc


class BackupFailed(Exception):
    """It cannot be done, and one line says why."""


class BadFile(BackupFailed):
    """The file is not a whole backup of ours."""


def line(error: BaseException) -> str:
    """One line of what a database or the system said."""
    if isinstance(error, exc.DBAPIError):
        if isinstance(error.orig, errors.LockNotAvailable):
            return "somebody else holds what this needs, and does not let it go (see pg_locks)"
        error = error.orig or error
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__
