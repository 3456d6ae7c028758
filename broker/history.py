"""Histories: tokens, events and positions that were given out in another one are not of this one.

A restored backup goes back to a moment from which other things happen than did. So a restore begins a new
history (`broker.new_history`), under an id that nobody can hand out twice. Tokens and events name it, and a
position in a room is an event's id; what names another one is refused, or passed over.

Auth's and movies' databases have one each, and each says which history of the other it goes with (`beside`):
databases of two histories do not serve together. Where the database was when the history began is kept too
(`place`), so that one that somebody restored or copied by hand is noticed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from broker.validation import MAX_ID

MOST_BEFORE = 1000  # histories that an installation came from

HistoryId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class _Said(BaseModel):
    """A history as the services tell each other of it; `began_at` in seconds since 1970."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    number: Annotated[int, Field(ge=1, le=MAX_ID)]
    id: HistoryId
    began_at: Annotated[int, Field(ge=0, le=2**53)]
    before: Annotated[list[HistoryId], Field(max_length=MOST_BEFORE)] = []


@dataclass(frozen=True)
class History:
    """`number` ascends from one history of an installation to the next, `id` names it for good.

    `before` are the ids of those that it came from. `beside` is the other database's, None where that was
    never known; not `is_settled` where it was another one's, and what has changed there since is not known.
    """

    number: int
    id: str
    began_at: datetime
    beside: str | None = None
    before: tuple[str, ...] = ()
    is_settled: bool = True

    def includes(self, history: str | None, at: datetime) -> bool:
        """Whether what names `history`, and is of the moment `at`, is of this one.

        What names none is of a release before histories: it is, as long as there has been no other one.
        """
        if history is None:
            return self.number == 1 or at >= self.began_at
        return history == self.id


def of_event(data: Mapping[str, Any]) -> str | None:
    """The history that an event's data name; None for one of a release before histories."""
    named = data.get("history")
    return named if isinstance(named, str) else None


def said(history: History) -> dict[str, Any]:
    """As one service tells another: `{"number", "id", "began_at" (seconds since 1970), "before": [id]}`."""
    return {
        "number": history.number,
        "id": history.id,
        "began_at": int(history.began_at.timestamp()),
        "before": list(history.before[:MOST_BEFORE]),
    }


def heard(answer: Mapping[str, Any] | None) -> History | None:
    """What was `said`; None where a release before histories says nothing. Raises ValueError for else."""
    if answer is None:
        return None
    told = _Said.model_validate(answer)
    began_at = datetime.fromtimestamp(told.began_at, UTC)
    return History(told.number, told.id, began_at, before=tuple(told.before))
