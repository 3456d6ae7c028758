"""Who a bearer token speaks for: checked by signature and a deny-list, with no call to auth.

Auth's `verification()` RPC gives the public keys, the revoked sessions and the staff; whoever checks tokens
loads them at start, and reads them again on a timer. What auth's events say in between is a hint alone: it is
asked for (`broker.hints`), and what auth's `confirm()` answers is taken in.
"""

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from broker import history
from broker.clock import FollowedClock, steady
from broker.errors import ServiceUnavailable, Unauthenticated
from broker.history import History, HistoryId
from broker.validation import MAX_ID

_log = logging.getLogger(__name__)

ALGORITHM = "EdDSA"
ISSUER = "movie-review-platform"
AUDIENCE = "movie-review-platform"
# RFC 9068: an access token says so, so that no other kind of token can be taken for one.
TOKEN_TYPE = "at+jwt"  # noqa: S105
# How far the clock of whoever signed may be from the one that tokens are judged by. That is the one of auth's
# database, which every reading tells; where it does not (auth of the release before), this machine's own.
LEEWAY_SECONDS = 60
# Until so long after a session's end it is among those revoked: a machine's own clock may be behind.
KEPT_REVOKED_SECONDS = 2 * LEEWAY_SECONDS
# What TOKEN_LIFETIME may be, at most.
MOST_LIFETIME_SECONDS = 86400 * 365
# The age of a reading when it is loaded, at the most: the wait for an answer, with room to spare.
READING_SECONDS = 30.0

# It would take the clock of this machine.
NOT_BY_PYJWT = ("verify_aud", "verify_iat", "verify_exp", "verify_nbf")

Ending = Literal["expired", "revoked"]
Moment = Annotated[int, Field(ge=0, le=2**53)]  # in seconds since 1970, UTC
UserId = Annotated[int, Field(ge=1, le=MAX_ID)]
Word = Annotated[str, Field(min_length=1, max_length=200)]
Uid = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class _Said(BaseModel):
    """What auth or a token says: exact types; what is not known here is not read."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Revocation(_Said):
    """A session whose tokens are refused; it would have ended by itself at `expires_at`."""

    session: Word
    expires_at: Moment


class Staff(_Said):
    user_id: UserId
    role: Word


class Renamed(_Said):
    """Whose tokens may bear an older name. `version` ascends with each change of the user."""

    user_id: UserId
    username: Word
    version: Annotated[int, Field(ge=1, le=MAX_ID)]


class Reading(_Said):
    """What auth's `verification()` answers. The entries are judged one by one: none of them alone keeps the
    others from being read.
    """

    keys: list[Any]
    revoked: list[Any]
    staff: list[Any]
    # Auth of a release before does not say:
    renamed: list[Any] = []
    now: Annotated[float, Field(ge=0, le=2**53)] | None = None
    history: dict[str, Any] | None = None


class Account(_Said):
    """Who somebody is by now, as auth says. `version` ascends with each change; no two accounts ever have the
    same `uid`, which auth of a release before does not say.
    """

    id: UserId
    uid: Uid | None = None
    username: Word
    role: Word
    version: Annotated[int, Field(ge=1, le=MAX_ID)]


class RevokedSession(Revocation):
    user_id: UserId


class _Confirmation(_Said):
    users: list[Any]
    sessions: list[Any]
    history: dict[str, Any] | None = None


@dataclass(frozen=True)
class Confirmation:
    """Of those that auth was asked about the users that there are, and the sessions that are revoked; and the
    history that auth's database is in, None where auth is of a release before.
    """

    users: list[Account]
    sessions: list[RevokedSession]
    history: History | None = None

    @classmethod
    def of(cls, answer: object) -> "Confirmation":
        """What auth's `confirm()` answers. Raises ValueError for anything else."""
        said = _Confirmation.model_validate(answer)
        return cls(
            _readable(Account, said.users),
            _readable(RevokedSession, said.sessions),
            history.heard(said.history),
        )


class _Claims(_Said):
    iss: Literal["movie-review-platform"]
    aud: Literal["movie-review-platform"]
    sub: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,18}$")]
    sid: Word
    name: Word
    iat: Moment
    exp: Moment
    nbf: Moment = 0
    # Tokens of a release before do not say:
    uid: Uid | None = None
    his: HistoryId | None = None


class ReadingAllowance:
    """How often unknown keys may cause a reading: a stream of forged ones must not be a stream of calls."""

    def __init__(self, most: int = 5, seconds: float = 5.0) -> None:
        self._taken: deque[float] = deque(maxlen=most)
        self._seconds = seconds

    def take(self) -> bool:
        """Whether there may be another reading now: fewer than `most` in the last `seconds`."""
        now = time.monotonic()
        if len(self._taken) == self._taken.maxlen and now - self._taken[0] < self._seconds:
            return False
        self._taken.append(now)
        return True


@dataclass(frozen=True)
class Identity:
    """Whom a valid token speaks for. `issued_at` and `expires_at` are in seconds since 1970, UTC.

    `uid` is the account's, `history` the one that the token is of: None in a token of a release before.
    """

    user_id: int
    username: str
    session: str
    expires_at: int
    role: str = "user"
    uid: str | None = None
    history: str | None = None
    issued_at: int = 0


class TokenVerifier:
    """Checks access tokens. Safe to share between workers: its state is replaced, never half changed."""

    def __init__(self) -> None:
        self._keys: dict[str, jwt.PyJWK] = {}
        self._revoked: dict[str, int] = {}
        self._roles: dict[int, str] = {}
        self._names: dict[int, Renamed] = {}
        self._followed: dict[int, tuple[str, float]] = {}
        self._followed_names: dict[int, tuple[Renamed, float]] = {}
        self._clock = FollowedClock()
        self.loaded = False
        self.history: History | None = None  # auth's; None while that is not known

    def now(self) -> float:
        """Seconds since 1970, UTC, by the clock that tokens are judged by."""
        return self._clock.time()

    def load(self, verification: Mapping[str, Any]) -> None:
        """Take in a reading of auth's `verification()`.

        An event may have come after the reading was taken. So revocations already known are kept until they
        expire (a session is never un-revoked), and roles and names followed of late outdo the reading.
        Raises ValueError for what is no such reading, or holds no key; nothing has changed then. An entry
        that cannot be read is passed over, but a session that it revokes is refused.
        """
        reading = Reading.model_validate(verification)
        keys = _public_keys(reading.keys)
        self.history = history.heard(reading.history) or self.history
        if reading.now is not None:
            self._clock.hear(reading.now, steady(), steady())
        now = self.now()
        revoked = {
            session: expires
            for session, expires in self._revoked.items()
            if expires + KEPT_REVOKED_SECONDS > now
        }
        revoked.update(_revocations(reading.revoked, int(now) + MOST_LIFETIME_SECONDS))
        self._keys = keys
        self._revoked = revoked
        self._roles = {each.user_id: each.role for each in _readable(Staff, reading.staff)}
        self._names = {each.user_id: each for each in _readable(Renamed, reading.renamed)}
        followed, self._followed = self._followed, {}
        for user_id, (role, at) in followed.items():
            if time.monotonic() - at < READING_SECONDS:
                self.set_role(user_id, role)
        followed_names, self._followed_names = self._followed_names, {}
        for name, at in followed_names.values():
            if time.monotonic() - at < READING_SECONDS:
                self.rename(name)
        self.loaded = True

    def confirm(self, confirmation: Confirmation) -> None:
        """Take in what auth answers about users and sessions of which something was announced."""
        for each in confirmation.sessions:
            self.revoke(each.session, each.expires_at)
        for user in confirmation.users:
            self.set_role(user.id, user.role)
            self.rename(Renamed(user_id=user.id, username=user.username, version=user.version))

    def revoke(self, session: str, expires_at: int) -> None:
        """Refuse the tokens of `session` from now on; `expires_at` (seconds since 1970) bounds the memory."""
        self._revoked[session] = expires_at

    def set_role(self, user_id: int, role: str) -> None:
        """Follow a change of role."""
        self._followed[user_id] = (role, time.monotonic())
        if role == "user":
            self._roles.pop(user_id, None)
        else:
            self._roles[user_id] = role

    def rename(self, name: Renamed) -> None:
        """Follow a user's name, unless a later one is known."""
        known = self._names.get(name.user_id)
        if known is None or known.version < name.version:
            self._names[name.user_id] = name
            self._followed_names[name.user_id] = (name, time.monotonic())

    def named(self, identity: Identity) -> Identity:
        """`identity` under the name that the user has by now: the token's may be an older one."""
        name = self._names.get(identity.user_id)
        return identity if name is None else replace(identity, username=name.username)

    def names_unknown_key(self, token: str) -> bool:
        """Whether `token` says that a key signed it which is not among those loaded: it may be a new one."""
        try:
            return jwt.get_unverified_header(token).get("kid") not in self._keys
        except (jwt.PyJWTError, TypeError, ValueError, RecursionError):
            return False

    def is_live(self, identity: Identity) -> bool:
        """Whether a token checked earlier would still be accepted."""
        return self.ending(identity) is None

    def ending(self, identity: Identity) -> Ending | None:
        """How a token checked earlier has ended; None while it would still be accepted."""
        if identity.session in self._revoked or not self._is_of_now(identity):
            return "revoked"
        return "expired" if self._is_over(identity.expires_at) else None

    def verify(self, token: str) -> Identity:
        """Whom `token` speaks for.

        Raises Unauthenticated for a token that is malformed, forged, expired or revoked, and
        ServiceUnavailable while the keys and the deny-list have not been loaded yet.
        """
        if not self.loaded:
            raise ServiceUnavailable("Sign-in cannot be checked yet; try again soon")
        try:
            claims = self._claims(token)
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("The access token has expired") from error
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise Unauthenticated("The access token is not valid") from error
        if claims.sid in self._revoked:
            raise Unauthenticated("The access token has been revoked")
        user_id = int(claims.sub)
        identity = Identity(
            user_id,
            claims.name,
            claims.sid,
            claims.exp,
            self._roles.get(user_id, "user"),
            claims.uid,
            claims.his,
            claims.iat,
        )
        if not self._is_of_now(identity):
            raise Unauthenticated("The access token is of before a restore; sign in again")
        return self.named(identity)

    def _is_of_now(self, identity: Identity) -> bool:
        """Whether a token was given out in auth's history; one that names none, as far as is known."""
        if self.history is None:
            return True
        return self.history.includes(identity.history, datetime.fromtimestamp(identity.issued_at, UTC))

    def _claims(self, token: str) -> _Claims:
        """What `token` says, if it is one of ours and holds now. Raises as `verify` catches it."""
        header = jwt.get_unverified_header(token)
        # What it is for is judged below, by its type and ours alone; and its times, by auth's clock.
        options: Any = {"require": ["exp", "iat"], **dict.fromkeys(NOT_BY_PYJWT, False)}
        said = jwt.decode(token, self._keys[header["kid"]], algorithms=[ALGORITHM], options=options)
        kind = header.get("typ")
        # The release before signed tokens without `aud`, of PyJWT's own type. They are good until they
        # expire: a release later this goes, and TOKEN_TYPE is the only one.
        if "aud" not in said and kind in ("JWT", None):
            said, kind = {**said, "aud": AUDIENCE}, TOKEN_TYPE
        if kind != TOKEN_TYPE:
            raise ValueError("it is a token of another kind")
        claims = _Claims.model_validate(said)
        if self._is_over(claims.exp):
            raise jwt.ExpiredSignatureError
        if max(claims.iat, claims.nbf) > self.now() + LEEWAY_SECONDS:
            raise ValueError("it is of the future")
        if not 0 < claims.exp - claims.iat <= MOST_LIFETIME_SECONDS or int(claims.sub) > MAX_ID:
            raise ValueError("its claims are out of bounds")
        return claims

    def _is_over(self, expires_at: int) -> bool:
        """To its very end it is good, and no longer: the clock is the one by which it was given out."""
        return expires_at <= self.now()


Said = TypeVar("Said", bound=_Said)


def _readable(kind: type[Said], entries: Sequence[Any]) -> list[Said]:
    """Those of `entries` that are a `kind`; the log says how many are not."""
    found = []
    for entry in entries:
        try:
            found.append(kind.model_validate(entry))
        except ValidationError:
            continue
    if len(found) < len(entries):
        lost = len(entries) - len(found)
        _log.warning("auth's answer has %d entries that are no %s", lost, kind.__name__.lower())
    return found


def _revocations(entries: Sequence[Any], latest: int) -> dict[str, int]:
    """When each revoked session would have ended. Where that cannot be read it is `latest`."""
    told = [entry["session"] for entry in entries if isinstance(entry, dict) and "session" in entry]
    revoked = dict.fromkeys((session for session in told if isinstance(session, str)), latest)
    revoked.update({each.session: each.expires_at for each in _readable(Revocation, entries)})
    return revoked


def _public_keys(entries: Sequence[Any]) -> dict[str, jwt.PyJWK]:
    """The keys by their ids. Raises ValueError where there is not one."""
    keys = {}
    for entry in entries:
        try:
            keys[str(entry["kid"])] = jwt.PyJWK(entry, algorithm=ALGORITHM)
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, AttributeError) as error:
            _log.warning("a key that auth publishes cannot be read (%s)", type(error).__name__)
    if not keys:
        raise ValueError("auth publishes no key that can be read")
    return keys
