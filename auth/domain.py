"""Pure rules of accounts: passwords, access tokens, signing keys."""

import secrets
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any, Literal, Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.algorithms import OKPAlgorithm
from werkzeug.security import check_password_hash, generate_password_hash

from broker import text
from broker.tokens import ALGORITHM, AUDIENCE, ISSUER, TOKEN_TYPE

Role = Literal["user", "moderator", "admin"]
# Keys stay published this much longer than the last token they signed lives.
RETIREMENT_MARGIN = timedelta(minutes=5)
MOST_OPEN_KEYS = 1000
PUBLIC_BEGINS = "-----BEGIN PUBLIC KEY-----"
# What is raised by a key that is not encrypted with the secret at hand, or is none.
UNREADABLE = (TypeError, ValueError, AssertionError, UnsupportedAlgorithm)


class PasswordHasher(Protocol):
    """Hashes passwords without stopping other work; both raise ServiceUnavailable when too busy."""

    def hash(self, password: str) -> str: ...

    def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is right; None stands for nobody's hash and costs as much."""


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 key. `pem` is PKCS #8, encrypted where the installation has a secret for it, and behind it,
    for whoever cannot open that, the public half; keys of before have the first alone.
    """

    kid: str
    pem: str

    @property
    def is_encrypted(self) -> bool:
        return "ENCRYPTED" in self.pem.partition("\n")[0]

    @property
    def public_half(self) -> Ed25519PublicKey | None:
        """As it is written beside the private one; None where it is not."""
        _, begin, rest = self.pem.partition(PUBLIC_BEGINS)
        try:
            loaded = serialization.load_pem_public_key((begin + rest).encode())
        except UNREADABLE:
            return None
        return loaded if isinstance(loaded, Ed25519PublicKey) else None


class KeyRing:
    """The signing keys that a process can open.

    What it has opened once it can use for as long as it lives, also where it is encrypted with another secret
    by now: so a secret can be changed while several processes run, and none of them needs a key of its own.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._opened: dict[str, Ed25519PrivateKey] = {}
        self._told_of: set[str] = set()

    def private(self, key: SigningKey) -> Ed25519PrivateKey | None:
        """The key itself; None where it cannot be opened."""
        try:
            opened = private_key(key, self._secret)
        except UNREADABLE:
            held = self._opened.get(key.kid)
            return held if held is not None and held.public_key() == key.public_half else None
        self._opened[key.kid] = opened
        return opened

    def public(self, key: SigningKey) -> Ed25519PublicKey | None:
        opened = self.private(key)
        return key.public_half if opened is None else opened.public_key()

    def tell_of(self, key: SigningKey) -> bool:
        """Whether there has been no word yet of this key, which cannot be opened."""
        if key.kid in self._told_of:
            return False
        self._told_of.add(key.kid)
        return True

    def rewritten(self, key: SigningKey, secret: str) -> SigningKey | None:
        """A key as it should lie in the database, encrypted with `secret`; None where it does so already, or
        cannot be opened with our secret.
        """
        try:
            opened = private_key(key, self._secret)
        except UNREADABLE:
            return None
        settled = secret == self._secret and key.is_encrypted == bool(secret)
        if settled and key.public_half == opened.public_key():
            return None
        return SigningKey(key.kid, _written(opened, secret))


@dataclass(frozen=True)
class TokenSettings:
    """`lifetime` in seconds; `secret` encrypts the signing keys at rest, empty for not at all."""

    lifetime: int
    secret: str
    ring: KeyRing = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ring", KeyRing(self.secret))


def hash_password(password: str, cost: int) -> str:
    """A salted scrypt hash with n=`cost`, r=8, p=1: `cost` KiB of memory, and time in proportion.

    Of the password's one form, so that it does not matter at which keyboard it is typed.
    https://www.rfc-editor.org/rfc/rfc7914
    """
    return generate_password_hash(text.password(password), method=f"scrypt:{cost}:8:1")


def password_matches(password_hash: str, password: str) -> bool:
    """Whether `password` is the one that was hashed; costs as much as hashing it, or twice that.

    Hashes of before passwords had one form are of what a keyboard sent then. So what is sent is tried as well
    or, where that is the form, its decomposed spelling, which is the other one that keyboards send. Where a
    password has but one spelling, as in ASCII, one hash is all. How many there are depends on the password
    alone, never on whose it is.
    """
    form = text.password(password)
    other = password if password != form else unicodedata.normalize("NFD", form)
    spellings = [form] if other == form else [form, other]
    return any(check_password_hash(password_hash, spelling) for spelling in spellings)


@cache
def unknown_user_hash(cost: int) -> str:
    """What a password is checked against when nobody has the e-mail address, so that it takes as long."""
    return hash_password(secrets.token_hex(), cost)


def new_signing_key(secret: str) -> SigningKey:
    """A fresh key, encrypted with `secret` unless that is empty."""
    return SigningKey(secrets.token_hex(8), _written(Ed25519PrivateKey.generate(), secret))


def _written(private: Ed25519PrivateKey, secret: str) -> str:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if secret:
        encryption = serialization.BestAvailableEncryption(secret.encode())
    pem = serialization.Encoding.PEM
    halves = (
        private.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption),
        private.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo),
    )
    return b"".join(halves).decode()


@lru_cache(MOST_OPEN_KEYS)
def private_key(key: SigningKey, secret: str) -> Ed25519PrivateKey:
    """The key itself, which may lie in the clear although there is a secret by now.

    Raises one of UNREADABLE where `secret` is not the one it was made with.
    """
    password = (secret.encode() or None) if key.is_encrypted else None
    loaded = serialization.load_pem_private_key(key.pem.encode(), password)
    assert isinstance(loaded, Ed25519PrivateKey)  # noqa: S101 - new_signing_key makes no other
    return loaded


def public_jwk(key: SigningKey, secret: str) -> dict[str, Any]:
    """The public half as a JSON Web Key. Raises as `private_key` does."""
    return jwk(key.kid, private_key(key, secret).public_key())


def jwk(kid: str, public: Ed25519PublicKey) -> dict[str, Any]:
    """A public key as a JSON Web Key (RFC 8037)."""
    made: dict[str, Any] = OKPAlgorithm.to_jwk(public, as_dict=True)
    return {**made, "kid": kid, "use": "sig", "alg": ALGORITHM}


@dataclass(frozen=True)
class Subject:
    """Whom a token speaks for: `history` is the one that the account's database is in."""

    user_id: int
    uid: str
    username: str
    history: str


def access_token(
    key: SigningKey, tokens: TokenSettings, subject: Subject, session: str, now: datetime
) -> str:
    """A JWT (RFC 9068) that speaks for `subject` in `session`, from `now` on for the lifetime of `tokens`."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(subject.user_id),
        "uid": subject.uid,
        "his": subject.history,
        "name": subject.username,
        "sid": session,
        "iat": now,
        "exp": now + timedelta(seconds=tokens.lifetime),
    }
    headers = {"kid": key.kid, "typ": TOKEN_TYPE}
    private = tokens.ring.private(key) or private_key(key, tokens.secret)
    return jwt.encode(claims, private, algorithm=ALGORITHM, headers=headers)
