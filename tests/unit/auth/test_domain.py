from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

import jwt
import pytest
from werkzeug.security import generate_password_hash

from auth import domain
from broker import text

NOW = datetime(2026, 1, 1, tzinfo=UTC)

SUBJECT = domain.Subject(7, "a" * 32, "alice", "b" * 32)


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
    token = domain.access_token(key, settings, SUBJECT, "session", datetime.now(UTC))
    published = domain.public_jwk(key, secret)
    platform = "movie-review-platform"
    claims = jwt.decode(token, jwt.PyJWK(published), algorithms=["EdDSA"], issuer=platform, audience=platform)
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    assert (claims["sub"], claims["name"], claims["sid"]) == ("7", "alice", "session")
    assert (claims["uid"], claims["his"]) == (SUBJECT.uid, SUBJECT.history)
    assert claims["exp"] - claims["iat"] == 60
    assert "d" not in published


@pytest.mark.parametrize("typed", ["pässwört", "pa\u0308sswo\u0308rt", "two\u00a0words"])
@pytest.mark.parametrize("kept", ["pässwört", "pa\u0308sswo\u0308rt", "two words"])
def test_a_hash_knows_every_spelling_of_its_password_and_no_other(typed: str, kept: str) -> None:
    password_hash = domain.hash_password(kept, 1024)
    assert domain.password_matches(password_hash, typed) == (text.password(typed) == text.password(kept))


@pytest.mark.parametrize("typed", ["pässwört", "pa\u0308sswo\u0308rt"])
@pytest.mark.parametrize("kept", ["pässwört", "pa\u0308sswo\u0308rt", "pa\u0308sswört"])
def test_a_hash_of_before_passwords_had_one_form_is_good(typed: str, kept: str) -> None:
    """But for a mixture, which no keyboard sends and which only itself fits."""
    password_hash = generate_password_hash(kept, method="scrypt:1024:8:1")
    fits = kept in (unicodedata.normalize(form, typed) for form in ("NFC", "NFD"))
    assert domain.password_matches(password_hash, typed) == fits
    assert domain.password_matches(password_hash, kept)


@pytest.mark.parametrize(
    ("typed", "hashes"),
    [
        ("all in ascii", 1),
        ("密码密码密码", 1),
        ("pässwört", 2),
        ("pa\u0308sswo\u0308rt", 2),
        ("two\u00a0words", 2),
    ],
)
def test_how_many_hashes_a_sign_in_takes_depends_on_what_is_typed_alone(
    typed: str, hashes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    monkeypatch.setattr(domain, "check_password_hash", lambda *given: tried.append(given[0]))
    for password_hash in (domain.hash_password("somebody's", 1024), domain.unknown_user_hash(1024)):
        tried.clear()
        assert not domain.password_matches(password_hash, typed)
        assert tried == [password_hash] * hashes
