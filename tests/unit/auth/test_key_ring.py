from __future__ import annotations

from cryptography.hazmat.primitives import serialization

from auth import domain
from auth.domain import KeyRing, SigningKey


def of_before(key: SigningKey) -> SigningKey:
    """The key as the releases before wrote it: its private half alone."""
    return SigningKey(key.kid, key.pem.partition(domain.PUBLIC_BEGINS)[0])


def test_without_its_secret_a_key_can_still_be_checked_against_but_not_sign() -> None:
    key = domain.new_signing_key("secret")
    ring = KeyRing("another")
    assert ring.private(key) is None
    assert ring.public(key) == domain.private_key(key, "secret").public_key()


def test_a_key_of_before_has_no_public_half_until_it_is_rewritten() -> None:
    key = of_before(domain.new_signing_key("secret"))
    assert KeyRing("another").public(key) is None
    rewritten = KeyRing("secret").rewritten(key, "secret")
    assert rewritten is not None
    assert KeyRing("another").public(rewritten) == domain.private_key(key, "secret").public_key()


def test_the_release_before_reads_what_is_written_now() -> None:
    for secret in ("", "secret"):
        key = domain.new_signing_key(secret)
        loaded = serialization.load_pem_private_key(key.pem.encode(), secret.encode() or None)
        assert loaded.public_key() == key.public_half
        assert key.is_encrypted == bool(secret)


def test_what_was_opened_once_goes_on_signing_under_another_secret() -> None:
    key = domain.new_signing_key("old")
    ring = KeyRing("old")
    opened = ring.private(key)
    anew = ring.rewritten(key, "new")
    assert anew is not None
    assert ring.private(anew) is opened
    assert KeyRing("old").private(anew) is None
    assert KeyRing("new").private(anew) is not None


def test_another_key_under_the_same_id_is_not_taken_for_the_one_that_was_opened() -> None:
    ring = KeyRing("old")
    key = domain.new_signing_key("old")
    ring.private(key)
    assert ring.private(SigningKey(key.kid, domain.new_signing_key("new").pem)) is None
    assert ring.private(of_before(SigningKey(key.kid, domain.new_signing_key("new").pem))) is None


def test_only_what_does_not_lie_as_it_should_is_rewritten() -> None:
    bare, kept = domain.new_signing_key(""), domain.new_signing_key("secret")
    ring = KeyRing("secret")
    encrypted = ring.rewritten(bare, "secret")
    assert encrypted is not None
    assert encrypted.is_encrypted
    assert ring.rewritten(kept, "secret") is None
    assert ring.rewritten(domain.new_signing_key("another"), "secret") is None
    assert ring.rewritten(SigningKey("odd", "no key"), "secret") is None


def test_a_key_that_cannot_be_opened_is_told_of_once() -> None:
    ring = KeyRing("secret")
    key = domain.new_signing_key("another")
    assert [ring.tell_of(key) for _ in range(3)] == [True, False, False]
