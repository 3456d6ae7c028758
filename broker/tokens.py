"""Who a bearer token speaks for: checked by signature and a deny-list, with no call to auth.

Auth's `verification()` RPC gives the public keys, the revoked sessions and the staff; whoever checks tokens
loads them at start, follows auth's events, and reads them again on a timer.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jwt

from broker.errors import ServiceUnavailable, Unauthenticated

ALGORITHM = "EdDSA"
ISSUER = "movie-review-platform"
# The age of a reading when it is loaded, at the most: the wait for an answer, with room to spare.
READING_SECONDS = 30.0

Ending = Literal["expired", "revoked"]


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
    """Whom a valid token speaks for. `expires_at` is in seconds since 1970, UTC."""

    user_id: int
    username: str
    session: str
    expires_at: int
    role: str = "user"


class TokenVerifier:
    """Checks access tokens. Safe to share between workers: its state is replaced, never half changed."""

    def __init__(self) -> None:
        self._keys: dict[str, jwt.PyJWK] = {}
        self._revoked: dict[str, int] = {}
        self._roles: dict[int, str] = {}
        self._followed: dict[int, tuple[str, float]] = {}
        self.loaded = False

    def load(self, verification: Mapping[str, Any]) -> None:
        """Take in a reading of auth's `verification()`.

        An event may have come after the reading was taken. So revocations already known are kept until they
        expire (a session is never un-revoked), and roles followed of late outdo the reading.
        """
        keys = {key["kid"]: jwt.PyJWK(key, algorithm=ALGORITHM) for key in verification["keys"]}
        now = time.time()
        revoked = {session: expires for session, expires in self._revoked.items() if expires > now}
        revoked.update({entry["session"]: entry["expires_at"] for entry in verification["revoked"]})
        self._keys = keys
        self._revoked = revoked
        self._roles = {entry["user_id"]: entry["role"] for entry in verification["staff"]}
        followed, self._followed = self._followed, {}
        for user_id, (role, at) in followed.items():
            if time.monotonic() - at < READING_SECONDS:
                self.set_role(user_id, role)
        self.loaded = True

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

    def names_unknown_key(self, token: str) -> bool:
        """Whether `token` says that a key signed it which is not among those loaded: it may be a new one."""
        try:
            return jwt.get_unverified_header(token).get("kid") not in self._keys
        except jwt.PyJWTError:
            return False

    def is_live(self, identity: Identity) -> bool:
        """Whether a token checked earlier would still be accepted."""
        return self.ending(identity) is None

    def ending(self, identity: Identity) -> Ending | None:
        """How a token checked earlier has ended; None while it would still be accepted."""
        if identity.session in self._revoked:
            return "revoked"
        return None if identity.expires_at > time.time() else "expired"

    def verify(self, token: str) -> Identity:
        """Whom `token` speaks for.

        Raises Unauthenticated for a token that is malformed, forged, expired or revoked, and
        ServiceUnavailable while the keys and the deny-list have not been loaded yet.
        """
        if not self.loaded:
            raise ServiceUnavailable("Sign-in cannot be checked yet; try again soon")
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                options={"require": ["exp", "iat", "iss", "sub", "sid", "name"]},
            )
            identity = Identity(
                user_id=int(claims["sub"]),
                username=str(claims["name"]),
                session=str(claims["sid"]),
                expires_at=int(claims["exp"]),
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("The access token has expired") from error
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            raise Unauthenticated("The access token is not valid") from error
        if identity.session in self._revoked:
            raise Unauthenticated("The access token has been revoked")
        role = self._roles.get(identity.user_id, "user")
        return Identity(identity.user_id, identity.username, identity.session, identity.expires_at, role)
