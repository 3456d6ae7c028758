from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from auth import domain
from broker.errors import ServiceUnavailable, Unauthenticated
from broker.tokens import ReadingAllowance, TokenVerifier

SETTINGS = domain.TokenSettings(lifetime=60, secret="")
KEY = domain.new_signing_key("")


def token(
    *, user: int = 7, session: str = "s", key: domain.SigningKey = KEY, at: datetime | None = None
) -> str:
    return domain.access_token(key, SETTINGS, user, "alice", session, at or datetime.now(UTC))


def verification(**more: Any) -> dict[str, Any]:
    return {"keys": [domain.public_jwk(KEY, "")], "revoked": [], "staff": [], **more}


@pytest.fixture
def verifier() -> TokenVerifier:
    verifier = TokenVerifier()
    verifier.load(verification())
    return verifier


def test_a_token_speaks_for_its_user(verifier: TokenVerifier) -> None:
    identity = verifier.verify(token())
    assert (identity.user_id, identity.username, identity.session, identity.role) == (7, "alice", "s", "user")


def test_before_anything_is_loaded_nothing_can_be_said() -> None:
    with pytest.raises(ServiceUnavailable):
        TokenVerifier().verify(token())


def test_an_expired_token_is_refused(verifier: TokenVerifier) -> None:
    with pytest.raises(Unauthenticated, match="expired"):
        verifier.verify(token(at=datetime.now(UTC) - timedelta(seconds=61)))


def test_a_token_of_an_unknown_key_is_refused(verifier: TokenVerifier) -> None:
    forged = token(key=domain.new_signing_key(""))
    assert verifier.names_unknown_key(forged)
    with pytest.raises(Unauthenticated):
        verifier.verify(forged)


def test_neither_a_known_key_nor_what_is_no_token_is_an_unknown_key(verifier: TokenVerifier) -> None:
    assert not verifier.names_unknown_key(token())
    assert not verifier.names_unknown_key("garbage")


def test_unknown_keys_cause_a_few_readings_and_not_a_stream_of_them() -> None:
    assert [ReadingAllowance(most=3, seconds=0.0).take() for _ in range(5)] == [True] * 5
    allowance = ReadingAllowance(most=3, seconds=60.0)
    assert [allowance.take() for _ in range(5)] == [True, True, True, False, False]


def test_a_token_signed_by_another_key_under_a_known_id_is_refused(verifier: TokenVerifier) -> None:
    forged = token(key=domain.SigningKey(KEY.kid, domain.new_signing_key("").pem))
    with pytest.raises(Unauthenticated):
        verifier.verify(forged)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_token_of_another_algorithm_is_refused(verifier: TokenVerifier, algorithm: str) -> None:
    claims = jwt.decode(token(), options={"verify_signature": False})
    public = domain.public_jwk(KEY, "")["x"] * 2
    forged = jwt.encode(
        claims, public if algorithm == "HS256" else None, algorithm=algorithm, headers={"kid": KEY.kid}
    )
    with pytest.raises(Unauthenticated):
        verifier.verify(forged)


@pytest.mark.parametrize("missing", ["exp", "iat", "iss", "sub", "sid", "name"])
def test_a_token_without_a_claim_is_refused(verifier: TokenVerifier, missing: str) -> None:
    claims = jwt.decode(token(), options={"verify_signature": False})
    del claims[missing]
    forged = jwt.encode(claims, domain.private_key(KEY, ""), algorithm="EdDSA", headers={"kid": KEY.kid})
    with pytest.raises(Unauthenticated):
        verifier.verify(forged)


@pytest.mark.parametrize("text", ["", "abc", "a.b.c", "ey.ey.ey", "\x00"])
def test_what_is_no_token_is_refused(verifier: TokenVerifier, text: str) -> None:
    with pytest.raises(Unauthenticated):
        verifier.verify(text)


def test_a_revoked_session_is_refused_and_others_are_not(verifier: TokenVerifier) -> None:
    identity = verifier.verify(token(session="gone"))
    verifier.revoke("gone", int(time.time()) + 60)
    assert not verifier.is_live(identity)
    with pytest.raises(Unauthenticated, match="revoked"):
        verifier.verify(token(session="gone"))
    assert verifier.verify(token(session="other"))


def test_how_a_token_has_ended(verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch) -> None:
    identity, other = verifier.verify(token(session="gone")), verifier.verify(token(session="other"))
    assert verifier.ending(identity) is None
    verifier.revoke("gone", identity.expires_at)
    assert (verifier.ending(identity), verifier.ending(other)) == ("revoked", None)
    monkeypatch.setattr(time, "time", lambda: float(other.expires_at))
    assert verifier.ending(other) == "expired"
    assert not verifier.is_live(other)


def test_a_reading_taken_before_a_revocation_does_not_undo_it(verifier: TokenVerifier) -> None:
    verifier.revoke("gone", int(time.time()) + 60)
    verifier.load(verification())
    with pytest.raises(Unauthenticated):
        verifier.verify(token(session="gone"))


def test_a_reading_brings_revocations_that_no_event_told(verifier: TokenVerifier) -> None:
    verifier.load(verification(revoked=[{"session": "gone", "expires_at": int(time.time()) + 60}]))
    with pytest.raises(Unauthenticated):
        verifier.verify(token(session="gone"))


def test_a_role_follows_readings_and_events(verifier: TokenVerifier) -> None:
    verifier.load(verification(staff=[{"user_id": 7, "role": "admin"}]))
    assert verifier.verify(token()).role == "admin"
    verifier.set_role(7, "moderator")
    assert verifier.verify(token()).role == "moderator"
    verifier.set_role(7, "user")
    assert verifier.verify(token()).role == "user"


def test_a_reading_taken_before_a_change_of_role_does_not_undo_it(verifier: TokenVerifier) -> None:
    verifier.set_role(7, "admin")
    verifier.load(verification())
    assert verifier.verify(token()).role == "admin"
    verifier.set_role(7, "user")
    verifier.load(verification(staff=[{"user_id": 7, "role": "admin"}]))
    assert verifier.verify(token()).role == "user"
