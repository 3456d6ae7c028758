"""Pure rules of accounts: passwords, access tokens, signing keys."""

import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Literal, Protocol

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm
from werkzeug.security import check_password_hash, generate_password_hash

from broker import text
from broker.tokens import ALGORITHM, AUDIENCE, ISSUER, TOKEN_TYPE

Role = Literal["user", "moderator", "admin"]
# Keys stay published this much longer than the last token they signed lives.
RETIREMENT_MARGIN = timedelta(minutes=5)


@dataclass(frozen=True)
class TokenSettings:
    """`lifetime` in seconds; `secret` encrypts the signing keys at rest, empty for not at all."""

    lifetime: int
    secret: str


class PasswordHasher(Protocol):
    """Hashes passwords without stopping other work; both raise ServiceUnavailable when too busy."""

    def hash(self, password: str) -> str: ...

    def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is right; None stands for nobody's hash and costs as much."""


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 key; `pem` is PKCS #8, encrypted where the installation has a secret for it."""

    kid: str
    pem: str


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
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if secret:
        encryption = serialization.BestAvailableEncryption(secret.encode())
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    return SigningKey(kid=secrets.token_hex(8), pem=pem.decode())


@cache
def private_key(key: SigningKey, secret: str) -> Ed25519PrivateKey:
    """The key itself, which may lie in the clear although there is a secret by now.

    Raises ValueError or TypeError where `secret` is not the one it was made with.
    """
    encrypted = "ENCRYPTED" in key.pem.partition("\n")[0]
    password = (secret.encode() or None) if encrypted else None
    loaded = serialization.load_pem_private_key(key.pem.encode(), password)
    assert isinstance(loaded, Ed25519PrivateKey)  # noqa: S101 - new_signing_key makes no other
    return loaded


def public_jwk(key: SigningKey, secret: str) -> dict[str, Any]:
    """The public half as a JSON Web Key (RFC 8037)."""
    jwk: dict[str, Any] = OKPAlgorithm.to_jwk(private_key(key, secret).public_key(), as_dict=True)
    return {**jwk, "kid": key.kid, "use": "sig", "alg": ALGORITHM}


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
    return jwt.encode(claims, private_key(key, tokens.secret), algorithm=ALGORITHM, headers=headers)
