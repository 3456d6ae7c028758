"""Who said it: a service signs what it announces, and whoever may write to its exchange cannot speak for it.

The signature is an extension attribute of the envelope, `signature`: the key's id, a dot, and an Ed25519
signature (RFC 8032, in base64url) of the attributes in SIGNED as JSON: one array, keys in order, no blanks.
The relay signs as it publishes, so that also what an older release left in the outbox is signed.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from broker.events import Envelope

SIGNED = ("specversion", "id", "source", "type", "time", "subject", "data")
MOST_KEYS = 100


class Publisher(Protocol):
    """What the relay publishes with; see `broker.outlet.Outlet`."""

    def send(self, event_type: str, envelope: Mapping[str, Any]) -> None: ...
    def settle(self) -> set[str]: ...
    def keep_alive(self) -> None: ...


class Signer:
    """Signs the envelopes of one service, with a key that follows from a secret of its installation."""

    def __init__(self, secret: bytes, source: str) -> None:
        seed = hmac.digest(secret, f"signs the events of {source}".encode(), hashlib.sha256)
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key().public_bytes_raw()
        self._kid = hashlib.sha256(public).hexdigest()[:16]
        self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": _encoded(public), "kid": self._kid, "use": "sig"}

    def signed(self, envelope: Mapping[str, Any]) -> dict[str, Any]:
        """`envelope` with its signature; as it is, where it lacks what is signed."""
        try:
            signature = self._key.sign(_canonical(envelope))
        except (KeyError, TypeError):
            return dict(envelope)
        return {**envelope, "signature": f"{self._kid}.{_encoded(signature)}"}


@dataclass(frozen=True)
class SigningPublisher:
    """A publisher whose envelopes are signed."""

    publisher: Publisher
    signer: Signer

    def send(self, event_type: str, envelope: Mapping[str, Any]) -> None:
        self.publisher.send(event_type, self.signer.signed(envelope))

    def settle(self) -> set[str]:
        return self.publisher.settle()

    def keep_alive(self) -> None:
        self.publisher.keep_alive()


class Signatures:
    """Checks signatures by the public keys of the service that signs."""

    def __init__(self) -> None:
        self._keys: dict[str, Ed25519PublicKey] = {}

    def load(self, jwks: object) -> None:
        """Take in the service's public keys, as JSON Web Keys (RFC 8037), passing over what is none.

        Keys that are known already stay. Raises ValueError where there is not one.
        """
        found = {}
        for jwk in jwks[:MOST_KEYS] if isinstance(jwks, list) else []:
            try:
                public = base64.urlsafe_b64decode(jwk["x"] + "=")
                found[str(jwk["kid"])] = Ed25519PublicKey.from_public_bytes(public)
            except (TypeError, ValueError, KeyError):
                continue
        if not found:
            raise ValueError("there is no public key")
        self._keys = dict(list({**self._keys, **found}.items())[-MOST_KEYS:])

    def names_unknown_key(self, envelope: Envelope) -> bool:
        return envelope.signature.partition(".")[0] not in self._keys

    def hold(self, envelope: Envelope) -> bool:
        """Whether `envelope` is signed by one of the keys, and nothing of it was changed since."""
        kid, _, signature = envelope.signature.partition(".")
        key = self._keys.get(kid)
        if key is None:
            return False
        try:
            signed = {name: getattr(envelope, name) for name in SIGNED}
            key.verify(base64.urlsafe_b64decode(signature + "=="), _canonical(signed))
        except (InvalidSignature, TypeError, ValueError):
            return False
        return True


def _canonical(envelope: Mapping[str, Any]) -> bytes:
    return orjson.dumps([envelope[name] for name in SIGNED], option=orjson.OPT_SORT_KEYS)


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
