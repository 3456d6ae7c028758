"""Who asks, as the token says, beside the arguments of a call: a service of a release before looks elsewhere.

An id alone does not say who somebody is: after a restore by hand it may be another's. So whoever keeps
something of people compares the `uid` as well.
"""

from typing import Annotated, Any

from nameko.extensions import DependencyProvider
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from broker.tokens import Identity, Uid, UserId

SPEAKER = "speaker"  # in a worker's context
HEADER = f"nameko.{SPEAKER}"  # in a call's headers, as Nameko passes a context on


class Speaker(BaseModel):
    """`uid` is the account's, which no other account ever has."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    user_id: UserId
    uid: Uid
    session: Annotated[str, Field(min_length=1, max_length=200)]


def headers(identity: Identity) -> dict[str, Any]:
    """What goes with the calls that are made for somebody; nothing where the token names no uid."""
    if identity.uid is None:
        return {}
    speaker = Speaker(user_id=identity.user_id, uid=identity.uid, session=identity.session)
    return {HEADER: speaker.model_dump()}


class SpeakerProvider(DependencyProvider):
    """Injects the Speaker for whom a call was made; None where it does not say, or not as we do."""

    def get_dependency(self, worker_ctx: Any) -> Speaker | None:
        try:
            return Speaker.model_validate(worker_ctx.data.get(SPEAKER))
        except ValidationError:
            return None
