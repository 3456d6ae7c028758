"""Which schema of its database a release needs, and whether it is there.

A release runs on the schema that its own migrations make, and on later ones for as long as these say so: each
`make migrate` writes down, beside Alembic's version, from which revision on services are served by what it
has made. On an earlier schema it waits.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

from sqlalchemy import Connection, text

from broker.outages import NOT_MIGRATED
from broker.readiness import Trouble

TOO_NEW = "The database is of a later release than this one"

_REVISION = re.compile(r"(\d{4})_\w+\.py")
_SERVES = re.compile(r"serves services from revision (\d{4})")
_HAS_VERSION = text("SELECT to_regclass('alembic_version') IS NOT NULL")
_VERSION = text(
    "SELECT (SELECT max(version_num) FROM alembic_version), obj_description('alembic_version'::regclass)"
)


def note(oldest: str) -> str:
    """The statement that writes down from which revision on services are served."""
    if not re.fullmatch(r"\d{4}", oldest):
        raise ValueError(f"{oldest!r} is no revision")
    return f"COMMENT ON TABLE alembic_version IS 'serves services from revision {oldest}'"


@dataclass(frozen=True)
class Schema:
    """The schema that the migrations of `package` (`"auth"`, `"movies"`) make."""

    package: str

    @cached_property
    def needed(self) -> str:
        """The revision that this release brings along: the last of its migrations, by their names."""
        folder = files(self.package) / "migrations" / "versions"
        revisions = [found[1] for each in folder.iterdir() if (found := _REVISION.fullmatch(each.name))]
        return max(revisions)

    def trouble(self, connection: Connection) -> Trouble | None:
        """Why this release cannot run on what is there."""
        revision, remark = None, None
        if connection.scalar(_HAS_VERSION):
            revision, remark = connection.execute(_VERSION).one()
        if revision is None or revision < self.needed:
            what = "was never migrated" if revision is None else f"is at revision {revision}"
            return Trouble(
                NOT_MIGRATED,
                f"it {what} and this release needs {self.needed}: waiting for `make migrate`",
            )
        served = _SERVES.fullmatch(remark or "")
        if revision > self.needed and (served is None or served[1] > self.needed):
            needs = f"serves services from {served[1]} on" if served else "does not say whom it serves"
            return Trouble(
                TOO_NEW,
                f"it is at revision {revision}, which {needs}, and this one is of {self.needed}: "
                "start the later release",
            )
        return None
