"""What Nameko injects into the gateway."""

import logging
import time
from collections.abc import Mapping
from typing import Any, Protocol

import eventlet
from eventlet.semaphore import Semaphore
from nameko.exceptions import MethodNotFound
from nameko.extensions import DependencyProvider

from broker import config
from broker.errors import Unavailable
from broker.hints import PAUSE_SECONDS, READING_PAUSE_SECONDS, Hints, Question
from broker.link import Link
from broker.rpc import RpcClient
from broker.tally import Tally
from broker.tokens import Confirmation, Identity, ReadingAllowance, TokenVerifier

_log = logging.getLogger(__name__)

READ_AGAIN_SECONDS = 0.5  # after a reading that failed
# A reading that somebody waits for, a request or a gateway that starts: it must leave them time, and one that
# was asked for before auth was there is never answered.
SHORT_READING_SECONDS = 2.0
MOST_LATE_READINGS = 3  # as many times the pause between two readings none has gone well: that is told


class Auth(Protocol):
    """Auth's answers, within SHORT_READING_SECONDS, or PlatformError."""

    def verification(self) -> Mapping[str, Any]: ...
    def confirm(self, question: Question) -> Mapping[str, Any]: ...


class Identities:
    """Who a bearer token speaks for, by keys and a deny-list that are kept up to date in the background."""

    def __init__(self, auth: Auth, refresh_seconds: float) -> None:
        self.verifier = TokenVerifier()
        self.hints = Hints()
        self._auth = auth
        self._refresh_seconds = refresh_seconds
        self._allowance = ReadingAllowance()
        self._wake = Semaphore(0)
        self._next_reading = 0.0
        self._wanted = False  # a reading, by somebody who may have come while one was under way
        self._read_at = time.monotonic()  # when a reading last went well, or when waiting for one began
        self._unusable = False  # auth's last answer
        self._unread = Tally(_log, "%s could not be read from auth", again_seconds=60)

    def identify(self, token: str) -> Identity:
        """Raises Unauthenticated, and ServiceUnavailable while nothing has been loaded yet."""
        if self.verifier.names_unknown_key(token) and self._allowance.take():
            self.refresh()
        return self.verifier.verify(token)

    def refresh(self) -> bool:
        """Read keys, deny-list and staff from auth; answers whether that went well."""
        try:
            self.verifier.load(self._auth.verification())
        except Exception as error:  # whatever it is, what was read before still stands
            self._unusable = not isinstance(error, Unavailable)
            self._unread.note("keys and deny-list", error)
            return False
        self._unusable = False
        self._read_at = time.monotonic()
        return True

    def refresh_soon(self) -> None:
        """In the background: what auth announced while nobody listened is not known here."""
        self._wanted = True
        self._awake()

    def heard_of_session(self, session: str) -> None:
        """It may have been revoked: auth is asked soon."""
        self.hints.of_session(session)
        self._awake()

    def heard_of_user(self, user_id: int) -> None:
        """There may be another name, or role: auth is asked soon."""
        self.hints.of_user(user_id)
        self._awake()

    def why_not_ready(self) -> str | None:
        if not self.verifier.loaded:
            return "Sign-in cannot be checked yet"
        if self._unusable:
            return "What auth says of sign-ins cannot be read"
        if (
            time.monotonic() - self._read_at
            > MOST_LATE_READINGS * self._refresh_seconds + SHORT_READING_SECONDS
        ):
            return "What auth says of sign-ins has not been read for too long"
        return None

    def keep_fresh(self) -> None:
        """Read them whenever the link opens, and again on a timer, for ever; ask about what was heard."""
        while True:
            self._wake.acquire(timeout=max(self._next_reading - time.monotonic(), 0.001))
            if self._wanted or time.monotonic() >= self._next_reading:
                self._read()
            elif self.hints.are_too_many:
                eventlet.sleep(READING_PAUSE_SECONDS)
                self._read()
            elif question := self.hints.take():
                self._ask(question)
                eventlet.sleep(PAUSE_SECONDS)
                self._awake()  # there may be more

    def _read(self) -> None:
        self.hints.forget()
        self._wanted = False
        self._next_reading = time.monotonic() + READ_AGAIN_SECONDS
        if self.refresh():
            self._next_reading += self._refresh_seconds - READ_AGAIN_SECONDS

    def _ask(self, question: Question) -> None:
        try:
            self.verifier.confirm(Confirmation.of(self._auth.confirm(question)))
        except MethodNotFound:  # auth is of the release before
            self._read()
        except Exception as error:  # the next reading has the answer
            self._unread.note("what was announced", error)
            self._next_reading = min(self._next_reading, time.monotonic() + READ_AGAIN_SECONDS)

    def _awake(self) -> None:
        if self._wake.balance <= 0:
            self._wake.release()


class RemoteAuth:
    """Auth over RPC."""

    def __init__(self, client: RpcClient, seconds: float) -> None:
        self._client = client
        self._seconds = seconds

    def verification(self) -> Mapping[str, Any]:
        return self._client.call("auth.verification", [], {}, self._seconds)

    def confirm(self, question: Question) -> Mapping[str, Any]:
        return self._client.call("auth.confirm", [question.users, question.sessions], {}, self._seconds)


class IdentityProvider(DependencyProvider):
    """Injects Identities, which all requests share."""

    rank = 2
    link = Link()
    client = RpcClient()

    def setup(self) -> None:
        settings = config.settings(self.container.config)
        seconds = min(SHORT_READING_SECONDS, settings.RPC_TIMEOUT / 2)
        self.identities = Identities(RemoteAuth(self.client, seconds), settings.REVOCATION_REFRESH)
        self.link.watch(opened=self.identities.refresh_soon)

    def start(self) -> None:
        self.thread = self.container.spawn_managed_thread(self.identities.keep_fresh)

    def stop(self) -> None:
        self.thread.kill()

    def why_not_ready(self) -> str | None:
        return self.identities.why_not_ready()

    def get_dependency(self, worker_ctx: Any) -> Identities:  # noqa: ARG002
        return self.identities
