"""What is signed holds until something of it is changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from broker import events
from broker.events import Envelope
from broker.signatures import Signatures, Signer, SigningPublisher

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SIGNER = Signer(b"a secret", "movies")
KID = SIGNER.jwk["kid"]


def envelope(**changes: Any) -> dict[str, Any]:
    review = events.Review(
        **{"id": 1, "movie_id": 2, "user_id": 7, "username": "zoë", "title": "Great", "body": "b\n😀"},
        **{"rating": 8.0, "spoiler": False, "likes": 0},
        **dict.fromkeys(("created_at", "updated_at"), "2026-01-01T00:00:00Z"),
    )
    movie = events.MovieReference(id=2, title="Heat", genre="Crime")
    event = events.ReviewCreated(version=3, movie=movie, review=review)
    return {**SIGNER.signed(events.envelope(event, NOW)), **changes}


def came(sent: dict[str, Any]) -> Envelope:
    return Envelope.model_validate(orjson.loads(orjson.dumps(sent)))


@pytest.fixture
def signatures() -> Signatures:
    signatures = Signatures()
    signatures.load([SIGNER.jwk])
    return signatures


def test_a_signature_holds_whatever_the_order_of_keys_and_whatever_is_added(signatures: Signatures) -> None:
    sent = envelope(traceparent="00-1")
    assert signatures.hold(came(sent))
    turned = dict(reversed(sent.items()))
    turned["data"] = dict(reversed(sent["data"].items()))
    assert signatures.hold(came(turned))


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "another"},
        {"type": "review_deleted"},
        {"time": "2026-01-02T03:04:06Z"},
        {"subject": "reviews/2"},
        {"data": envelope()["data"] | {"version": 4}},
        {"data": envelope()["data"] | {"more": 1}},
        *({"signature": value} for value in ("", ".", "x", "x.y", KID, f"{KID}.", f"{KID}.AAAA", f"{KID}.é")),
    ],
    ids=str,
)
def test_what_was_changed_does_not_hold(signatures: Signatures, changes: dict[str, Any]) -> None:
    assert not signatures.hold(came(envelope(**changes)))


def test_what_cannot_be_written_the_same_way_again_does_not_hold(signatures: Signatures) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    assert not signatures.hold(Envelope.model_validate(envelope(data={"deep": deep})))
    assert not signatures.hold(Envelope.model_validate(envelope(data={"large": 2**70})))


def test_another_secret_or_service_is_another_key(signatures: Signatures) -> None:
    for other in (Signer(b"another", "movies"), Signer(b"a secret", "auth")):
        forged = came(other.signed(envelope()))
        assert signatures.names_unknown_key(forged)
        assert not signatures.hold(forged)
    assert Signer(b"a secret", "movies").jwk == SIGNER.jwk


@pytest.mark.parametrize("jwks", [None, {}, "x", 7, [], [None], [{}], [{"x": 7, "kid": "k"}], [{"x": "é"}]])
def test_where_there_is_no_key_those_of_before_stay(signatures: Signatures, jwks: object) -> None:
    with pytest.raises(ValueError, match="no public key"):
        signatures.load(jwks)
    assert signatures.hold(came(envelope()))


def test_a_publisher_signs_what_it_sends() -> None:
    class Broker:
        sent: list[tuple[str, Any]] = []  # noqa: RUF012

        def send(self, event_type: str, envelope: Any) -> None:
            self.sent.append((event_type, envelope))

        def settle(self) -> set[str]:
            return {"refused"}

        def keep_alive(self) -> None: ...

    broker = Broker()
    publisher = SigningPublisher(broker, SIGNER)
    unsigned = {name: value for name, value in envelope().items() if name != "signature"}
    publisher.send("review_created", unsigned)
    assert broker.sent == [("review_created", SIGNER.signed(unsigned))]
    assert publisher.settle() == {"refused"}


@pytest.mark.parametrize("odd", [{}, {"type": "review_created"}, {**envelope(), "data": {"large": 2**70}}])
def test_what_cannot_be_signed_goes_out_as_it_is(odd: dict[str, Any]) -> None:
    assert SIGNER.signed(odd) == odd
