"""What a backup says of itself: the manifest at the end of its file."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# Raised where an older release could not read the file; what is only added needs no new one.
FORMAT = 1
DatabaseName = Literal["auth", "movies"]
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    # A newer release of the same format may say more.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Table(_Part):
    """Its rows are in the pieces `<database>/<name>.<number>`, one after the other, as COPY gives them."""

    name: str
    columns: tuple[str, ...]
    rows: Count


class Database(_Part):
    """`tables` in an order in which they can be filled; `sequences` with what they gave out last, if ever.

    `history` is the id of the one that it was in, None in a schema that knows none.
    """

    revision: str
    history: str | None
    server: str
    tables: tuple[Table, ...]
    sequences: dict[str, int | None]


class Piece(_Part):
    name: str
    size: Count
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(_Part):
    format: int
    release: str
    taken_at: datetime
    databases: dict[DatabaseName, Database]
    pieces: tuple[Piece, ...]
