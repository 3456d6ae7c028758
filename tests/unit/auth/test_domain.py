from __future__ import annotations

from datetime import UTC, datetime

import jwt
import pytest

from auth import domain

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_password_matches_its_own_hash_and_no_other() -> None:
    password_hash = domain.hash_password("correct horse", 32768)
    assert domain.password_matches(password_hash, "correct horse")
    assert not domain.password_matches(password_hash, "correct house")


def test_the_same_password_never_has_the_same_hash() -> None:
    assert domain.hash_password("correct horse", 32768) != domain.hash_password("correct horse", 32768)


def test_nobodys_hash_is_made_once_and_costs_as_much_as_anybodys() -> None:
    assert domain.unknown_user_hash(32768) is domain.unknown_user_hash(32768)
    assert domain.unknown_user_hash(32768).split("$")[0] == domain.hash_password("x", 32768).split("$")[0]


def test_a_key_with_a_secret_does_not_open_without_it() -> None:
    key = domain.new_signing_key("secret")
    domain.private_key(key, "secret")
    for wrong in ("other", ""):
        with pytest.raises((TypeError, ValueError)):
            domain.private_key(key, wrong)


@pytest.mark.parametrize("secret", ["", "secret"])
def test_the_published_key_verifies_the_token_and_is_public(secret: str) -> None:
    key = domain.new_signing_key(secret)
    settings = domain.TokenSettings(lifetime=60, secret=secret)
    token = domain.access_token(key, settings, 7, "alice", "session", datetime.now(UTC))
    published = domain.public_jwk(key, secret)
    platform = "movie-review-platform"
    claims = jwt.decode(token, jwt.PyJWK(published), algorithms=["EdDSA"], issuer=platform, audience=platform)
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    assert (claims["sub"], claims["name"], claims["sid"]) == ("7", "alice", "session")
    assert claims["exp"] - claims["iat"] == 60
    assert "d" not in published
