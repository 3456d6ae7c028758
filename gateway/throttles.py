"""What one client may ask how often: by address, by user, and by the account that it wants to sign in to.

A guesser is slowed and the owner is never locked out: wrong passwords for an account are counted for the
address that they come from, and no other address has to wait for it. Where many addresses guess at one
account, each of them has THIN_SHARE of its guesses, but for those that have signed in to it before.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol, runtime_checkable

import cachetools
import orjson
from nameko.extensions import SharedExtension

from broker import config
from broker.addresses import MOST_EMAIL_SENT, email_key
from broker.doors.shares import count_down
from broker.errors import Invalid, PlatformError, TooManyRequests, Unauthenticated
from broker.text import folded
from broker.throttle import Quota, Standing, Throttle
from broker.tokens import Identity
from gateway.requests import Request
from gateway.turns import Turns

THIN_SHARE = 1 / 3
# How long an address is known as one that an account was signed in from.
FAMILIAR_SECONDS = 30 * 86400
TURN_SECONDS = 1.0  # that a sign-in waits for others of its address
MOST_KEYS = 20_000  # of writes, remembered for
KEY_SECONDS = 600
TOO_MANY_GUESSES = "Too many wrong passwords; try again later"
MOST_ADDRESS = 64  # characters: what a proxy of ours tells may be any text


class Kind(Enum):
    """What a request costs, and so what it counts as."""

    FREE = "free"
    READ = "read"
    WRITE = "write"
    SIGN_IN = "sign-in"
    REGISTRATION = "registration"
    PASSWORD = "password"  # noqa: S105 - a write that may check or change one

    @classmethod
    def of(cls, method: str, url: str) -> "Kind":
        """That of a route."""
        if url.startswith(("/health/", "/.well-known/")) or url.endswith("/status"):
            return cls.FREE
        if url == "/api/auth/login":
            return cls.SIGN_IN
        if url == "/api/auth/register":
            return cls.REGISTRATION
        if url == "/api/auth/me" and method in ("PATCH", "DELETE"):
            return cls.PASSWORD
        return cls.READ if method in ("GET", "HEAD", "OPTIONS") else cls.WRITE


@runtime_checkable
class Identifying(Protocol):
    """A dependency provider that knows whom tokens speak for."""

    identities: Any


@dataclass(frozen=True)
class Quotas:
    """The settings THROTTLE_…; `hashes` is how many of one address may be there at once."""

    reads: Quota
    writes: Quota
    sign_ins: Quota
    registrations: Quota
    guesses: Quota
    account_guesses: Quota
    hashes: int

    @classmethod
    def of(cls, settings: config.Settings) -> "Quotas":
        return cls(
            reads=Quota.of("reads", settings.THROTTLE_READS),
            writes=Quota.of("writes", settings.THROTTLE_WRITES),
            sign_ins=Quota.of("sign-ins", settings.THROTTLE_SIGN_INS),
            registrations=Quota.of("registrations", settings.THROTTLE_REGISTRATIONS),
            guesses=Quota.of("guesses", settings.THROTTLE_GUESSES),
            account_guesses=Quota.of("account-guesses", settings.THROTTLE_ACCOUNT_GUESSES),
            hashes=settings.THROTTLE_HASHES,
        )

    @property
    def thin_guesses(self) -> Quota:
        """Of an address where an account is guessed at from many."""
        return replace(self.guesses, most=max(int(self.guesses.most * THIN_SHARE), 1))

    @property
    def familiar(self) -> Quota:
        """No quota, but a mark: one is there or is not."""
        return Quota("familiar", 1, FAMILIAR_SECONDS)


class Throttles(SharedExtension):
    """Counts what the gateway's clients ask."""

    def setup(self) -> None:
        settings = config.settings(self.container.config)
        self.quotas = Quotas.of(settings)
        self._known: list[Any] = []
        self.throttle = Throttle(settings.REDIS_URL, era=self._era)
        self._secret = hashlib.sha256(settings.SIGNING_KEY_SECRET.encode()).digest()
        self._turns = Turns(self.quotas.hashes, TURN_SECONDS)  # to have a password hashed, by address
        self._guessing: Counter[str] = Counter()  # attempts at work, by account and address
        self._written: cachetools.TTLCache[str, bool] = cachetools.TTLCache(MOST_KEYS, KEY_SECONDS)

    @contextmanager
    def applied(self, kind: Kind, request: Request) -> Iterator[None]:
        """Count a request while it is answered in the `with`; notes where its client is in `standings`.

        Raises TooManyRequests where it must not be answered.
        """
        address = request.client_address[:MOST_ADDRESS]
        match kind:
            case Kind.FREE:
                yield
            case Kind.READ:
                self.count_read(request)
                yield
            case Kind.WRITE:
                self._count_write(request, address)
                yield
            case Kind.REGISTRATION:
                self._take(request, self.quotas.registrations, address)
                with self._turns.of(address):
                    yield
            case Kind.SIGN_IN:
                self._take(request, self.quotas.sign_ins, address)
                with self._turns.of(address), self._guess(request, address):
                    yield
            case Kind.PASSWORD:
                identity = self._count_write(request, address)
                with self._turns.of(address), self._own_password(request, identity):
                    yield

    def count_read(self, request: Request) -> None:
        """Count a request that changes nothing. Raises TooManyRequests."""
        self._take(request, self.quotas.reads, request.client_address[:MOST_ADDRESS], here=True)

    def _take(self, request: Request, quota: Quota, key: str, *, here: bool = False) -> None:
        standing = self.throttle.take(quota, key, here=here)
        request.standings.append(standing)
        if not standing.is_within:
            raise TooManyRequests(retry_after=standing.retry_after)

    def _count_write(self, request: Request, address: str) -> Identity | None:
        """A user's; a repetition, and what nobody is signed in for, costs no more than reading."""
        identity = self._identity(request)
        key = request.headers.get("Idempotency-Key")
        name = f"{identity.user_id}:{self._hidden(key)}" if identity and key else None
        if identity is None or (name is not None and name in self._written):
            self._take(request, self.quotas.reads, address, here=True)
            return identity
        self._take(request, self.quotas.writes, str(identity.user_id))
        if name is not None:
            self._written[name] = True
        return identity

    def _identity(self, request: Request) -> Identity | None:
        for identities in self._identities():
            try:
                request.identity = identities.identify(request.bearer_token)
            except Unauthenticated:
                return None
        return request.identity

    def _identities(self) -> list[Any]:
        """Who know whom tokens speak for."""
        if not self._known:  # until they are set up
            providers = self.container.dependencies
            self._known = [provider.identities for provider in providers if isinstance(provider, Identifying)]
        return self._known

    def _era(self) -> str:
        """What was counted in another history, of others, does not count. The first one's counts are shared
        with a release that knows no histories.
        """
        for identities in self._identities():
            history = identities.verifier.history
            if history is not None and history.number > 1:
                return f"{history.id}:"
        return ""

    @contextmanager
    def _guess(self, request: Request, address: str) -> Iterator[None]:
        """An attempt to sign in. Whether anybody has the e-mail address makes no difference."""
        email = _text(request.raw_body, "email")
        if email is None:
            yield
            return
        account = self._hidden(email_key(email) or folded(email))
        pair = f"{account}:{address}"
        everywhere = self.throttle.look(self.quotas.account_guesses, account)
        thin = not everywhere.is_within and not self._is_familiar(pair)
        quota = self.quotas.thin_guesses if thin else self.quotas.guesses
        try:
            with self._judged(request, quota, pair, Unauthenticated):
                yield
        except Unauthenticated:
            self.throttle.take(self.quotas.account_guesses, account)
            raise
        self.throttle.take(self.quotas.familiar, pair)

    def _is_familiar(self, pair: str) -> bool:
        return not self.throttle.look(self.quotas.familiar, pair).is_within

    @contextmanager
    def _own_password(self, request: Request, identity: Identity | None) -> Iterator[None]:
        """A signed-in user's `current_password`: it may be somebody else at a screen that was left open."""
        if identity is None or _text(request.raw_body, "current_password") is None:
            yield
            return
        with self._judged(request, self.quotas.guesses, f"user:{identity.user_id}", Invalid):
            yield

    @contextmanager
    def _judged(self, request: Request, quota: Quota, key: str, wrong: type[PlatformError]) -> Iterator[None]:
        """A password that is judged in the `with`, which raises `wrong` where it is."""
        standing = self.throttle.look(quota, key)
        attempts = f"{quota.name}:{key}"
        if standing.remaining <= self._guessing[attempts]:
            request.standings.append(standing)
            raise TooManyRequests(
                TOO_MANY_GUESSES, retry_after=1 if standing.is_within else standing.retry_after
            )
        self._guessing[attempts] += 1
        try:
            yield
        except wrong as error:
            if wrong is not Invalid or "current_password" in error.errors:
                standing = self.throttle.take(quota, key)
            raise
        else:
            self.throttle.clear(quota, key)
            standing = Standing(quota, True, quota.most, 0.0)
        finally:
            count_down(self._guessing, attempts)
            request.standings.append(standing)

    def _hidden(self, text: str) -> str:
        """What stands for `text` in Redis: it may be an e-mail address."""
        return hashlib.blake2b(text.encode(), key=self._secret, digest_size=16).hexdigest()


def _text(body: bytes, name: str) -> str | None:
    """A text in a JSON body, as far as it matters here; None where there is none."""
    try:
        text = orjson.loads(body).get(name)
    except (orjson.JSONDecodeError, AttributeError):
        return None
    return text.strip()[:MOST_EMAIL_SENT] if isinstance(text, str) else None
