from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from auth import domain
from broker import clock
from broker.errors import ServiceUnavailable, Unauthenticated
from broker.tokens import Confirmation, ReadingAllowance, Renamed, TokenVerifier

SETTINGS = domain.TokenSettings(lifetime=60, secret="")
KEY = domain.new_signing_key("")
UID, HISTORY, OTHER = "a" * 32, "b" * 32, "c" * 32


def token(
    *, user: int = 7, session: str = "s", key: domain.SigningKey = KEY, at: datetime | None = None
) -> str:
    subject = domain.Subject(user, UID, "alice", HISTORY)
    return domain.access_token(key, SETTINGS, subject, session, at or datetime.now(UTC))


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


def signed(claims: dict[str, Any] | None = None, header: dict[str, Any] | None = None) -> str:
    """A token of ours with other claims and another header; one that is `...` is left out."""
    said = {**jwt.decode(token(), options={"verify_signature": False}), **(claims or {})}
    headers = {"alg": "EdDSA", "kid": KEY.kid, "typ": "at+jwt", **(header or {})}
    parts = ({k: v for k, v in each.items() if v is not ...} for each in (headers, said))
    signed = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = domain.private_key(KEY, "").sign(signed)
    return b".".join((signed, base64.urlsafe_b64encode(signature).rstrip(b"="))).decode()


def test_a_token_as_it_is_signed_by_hand_is_good(verifier: TokenVerifier) -> None:
    assert verifier.verify(signed()).user_id == 7


@pytest.mark.parametrize("missing", ["exp", "iat", "iss", "sub", "sid", "name", "aud"])
def test_a_token_without_a_claim_is_refused(verifier: TokenVerifier, missing: str) -> None:
    with pytest.raises(Unauthenticated):
        verifier.verify(signed({missing: ...}))


NOW = int(time.time())
WRONG_CLAIMS: list[tuple[str, Any]] = [
    *(
        ("sub", value)
        for value in [7, "", "0", "07", "+7", " 7", "7 ", "٧", "7.0", "-7", str(2**63), "9" * 5000, None]
    ),
    *(("sub", value) for value in [True, ["7"], {}, 7.0]),
    *(
        ("exp", value)
        for value in [str(NOW + 60), NOW + 60.5, True, None, [], {}, 10**30, float("inf"), NOW - 60]
    ),
    *(("exp", value) for value in [NOW + 10 * 366 * 86400]),
    *(("iat", value) for value in [str(NOW), NOW + 0.5, True, None, [], {}, -1, NOW + 86400, NOW + 7200, 0]),
    *(("sid", value) for value in [7, "", None, [], {}, True, "x" * 201]),
    *(("name", value) for value in [7, "", None, [], {}, "x" * 201]),
    *(("iss", value) for value in ["somebody-else", None, 7, [], ["movie-review-platform"]]),
    *(("aud", value) for value in ["somebody-else", None, 7, [], ["movie-review-platform"], ""]),
    ("nbf", NOW + 3600),
]


@pytest.mark.parametrize(("claim", "value"), WRONG_CLAIMS, ids=lambda value: str(value)[:20])
def test_a_claim_of_another_kind_is_refused_and_breaks_nothing(
    verifier: TokenVerifier, claim: str, value: Any
) -> None:
    with pytest.raises(Unauthenticated):
        verifier.verify(signed({claim: value}))


@pytest.mark.parametrize("kind", ["JWT", "at+JWT+x", "id+jwt", "refresh+jwt", "AT", ...])
def test_a_token_of_another_kind_is_refused(verifier: TokenVerifier, kind: Any) -> None:
    with pytest.raises(Unauthenticated):
        verifier.verify(signed(header={"typ": kind}))


@pytest.mark.parametrize("kid", [..., "", "other", None, 7, True, [KEY.kid], {}])
def test_a_token_that_names_no_key_of_ours_is_refused(verifier: TokenVerifier, kid: Any) -> None:
    forged = signed(header={"kid": kid})
    verifier.names_unknown_key(forged)
    with pytest.raises(Unauthenticated):
        verifier.verify(forged)


@pytest.mark.parametrize("kind", ["JWT", ...])
def test_a_token_of_the_release_before_is_good_until_it_expires(verifier: TokenVerifier, kind: Any) -> None:
    assert verifier.verify(signed({"aud": ...}, {"typ": kind})).username == "alice"
    with pytest.raises(Unauthenticated, match="expired"):
        verifier.verify(signed({"aud": ..., "iat": NOW - 120, "exp": NOW - 60}, {"typ": kind}))


def test_a_clock_that_is_a_little_ahead_signs_no_bad_tokens(verifier: TokenVerifier) -> None:
    assert verifier.verify(token(at=datetime.now(UTC) + timedelta(seconds=30)))


YEARS = 10 * 365 * 86400


@pytest.mark.parametrize("off", [-YEARS, -60, -30, -1, 1, 30, 60, YEARS])
def test_this_machines_clock_matters_to_no_token_once_auth_has_said_the_time(
    off: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`token` takes the clock of auth's database, which is right."""
    monkeypatch.setattr(time, "time", lambda: NOW + float(off))
    verifier = TokenVerifier()
    verifier.load(verification(now=float(NOW)))
    at = datetime.fromtimestamp(NOW, UTC)
    identity = verifier.verify(token(at=at))
    assert verifier.is_live(identity)
    assert verifier.verify(token(at=at - timedelta(seconds=58)))
    assert verifier.verify(token(at=at + timedelta(seconds=59)))
    with pytest.raises(Unauthenticated, match="expired"):
        verifier.verify(token(at=at - timedelta(seconds=60)))
    with pytest.raises(Unauthenticated, match="not valid"):
        verifier.verify(token(at=at + timedelta(seconds=65)))


def test_the_time_goes_on_between_two_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = TokenVerifier()
    verifier.load(verification(now=float(NOW)))
    identity = verifier.verify(token(at=datetime.fromtimestamp(NOW, UTC)))
    began = clock.steady()
    monkeypatch.setattr(clock, "steady", lambda: began + 59.0)
    assert verifier.is_live(identity)
    monkeypatch.setattr(clock, "steady", lambda: began + 61.0)
    assert verifier.ending(identity) == "expired"


@pytest.mark.parametrize("now", ["1", None, float("nan"), -1, 1e300, True, []])
def test_a_reading_with_a_time_that_is_none_is_no_reading(now: Any) -> None:
    verifier = TokenVerifier()
    if now is None:
        verifier.load(verification(now=now))
    else:
        with pytest.raises(ValueError, match="now"):
            verifier.load(verification(now=now))


def test_a_revocation_is_known_for_a_while_after_its_sessions_end() -> None:
    verifier = TokenVerifier()
    verifier.load(verification(now=float(NOW), revoked=[{"session": "gone", "expires_at": NOW + 60}]))
    verifier.load(verification(now=float(NOW + 100)))
    verifier.load(verification(now=float(NOW)))  # an auth whose database is a while behind
    with pytest.raises(Unauthenticated, match="revoked"):
        verifier.verify(token(session="gone", at=datetime.fromtimestamp(NOW, UTC)))


@pytest.mark.parametrize("part", [0, 1])
def test_arrays_without_end_in_a_token_are_refused(verifier: TokenVerifier, part: int) -> None:
    parts = token().split(".")
    parts[part] = base64.urlsafe_b64encode(b"[" * 6000).decode().rstrip("=")
    verifier.names_unknown_key(".".join(parts))
    with pytest.raises(Unauthenticated):
        verifier.verify(".".join(parts))


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


def renamed(name: str, version: int = 2) -> dict[str, Any]:
    return {"user_id": 7, "username": name, "version": version}


def test_a_name_follows_readings_and_events(verifier: TokenVerifier) -> None:
    old = verifier.verify(token())
    verifier.load(verification(renamed=[renamed("alicia")]))
    assert verifier.verify(token()).username == verifier.named(old).username == "alicia"
    user = {"id": 7, "username": "alison", "version": 3, "role": "moderator"}
    verifier.confirm(Confirmation.of({"users": [user], "sessions": []}))
    assert (verifier.verify(token()).username, verifier.verify(token()).role) == ("alison", "moderator")


def test_neither_a_reading_of_before_nor_an_older_event_undoes_a_name(verifier: TokenVerifier) -> None:
    verifier.rename(Renamed(**renamed("alison", 3)))
    verifier.load(verification(renamed=[renamed("alicia", 2)]))
    assert verifier.verify(token()).username == "alison"
    verifier.rename(Renamed(**renamed("alicia", 2)))
    assert verifier.verify(token()).username == "alison"


REVOKED = {"session": "gone", "expires_at": NOW + 60}


@pytest.mark.parametrize(
    "more",
    [
        *({"revoked": value} for value in (None, {}, "x")),
        *({"staff": value} for value in (None, {}, 7)),
        *({"renamed": value} for value in (None, {}, "x")),
        *({"keys": value} for value in (None, {}, [], [None], [{}], [{"kid": "x"}], ["x"])),
    ],
    ids=lambda more: str(more)[:60],
)
def test_a_reading_that_is_none_changes_nothing(verifier: TokenVerifier, more: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's
        verifier.load(verification(**more))
    assert verifier.verify(token(session="gone")).username == "alice"
    verifier.load(verification(revoked=[REVOKED]))
    with pytest.raises(Unauthenticated):
        verifier.verify(token(session="gone"))


NEW_KEY = domain.new_signing_key("")
UID, HISTORY, OTHER = "a" * 32, "b" * 32, "c" * 32
BAD_KEYS = (
    *(None, {}, [], "x", 7, {"kid": "x"}, {"kty": "OKP"}, {"kid": "x", "kty": "RSA", "n": "x"}),
    *({"kid": "x", "kty": "OKP", "crv": "Ed25519", "x": value} for value in ("", "é", None, 7, "AAAA")),
    {"kid": "x", "kty": "OKP", "crv": "X448", "x": "AAAA"},
)


@pytest.mark.parametrize(
    "more",
    [
        *({"revoked": [value, REVOKED]} for value in (None, [], 7, {}, {"expires_at": 7}, {"session": None})),
        *({"revoked": [{**REVOKED, "session": value}, REVOKED]} for value in (7, "", ["x"], "x" * 201)),
        *(
            {"staff": [value]}
            for value in (None, {"user_id": "7", "role": "admin"}, {"user_id": 7, "role": ""})
        ),
        *({"renamed": [value]} for value in (None, renamed("", 2), renamed("x", 0), renamed("x" * 201))),
        *({"keys": [value, domain.public_jwk(KEY, "")]} for value in BAD_KEYS),
    ],
    ids=lambda more: str(more)[:60],
)
def test_one_bad_entry_keeps_nobody_from_the_others(verifier: TokenVerifier, more: dict[str, Any]) -> None:
    read = verification(**{"revoked": [REVOKED], **more})
    verifier.load({**read, "keys": [*read["keys"], domain.public_jwk(NEW_KEY, "")]})
    assert verifier.verify(token(key=NEW_KEY)).role == "user"
    with pytest.raises(Unauthenticated, match="revoked"):
        verifier.verify(token(session="gone"))


@pytest.mark.parametrize("expires_at", ["1", 1.5, True, None, -1, 10**30, float("nan"), [], {}])
def test_a_session_is_revoked_whatever_else_its_entry_says(verifier: TokenVerifier, expires_at: Any) -> None:
    verifier.load(verification(revoked=[{"session": "gone", "expires_at": expires_at}]))
    with pytest.raises(Unauthenticated, match="revoked"):
        verifier.verify(token(session="gone"))


def test_what_auth_confirms_takes_effect(verifier: TokenVerifier) -> None:
    gone = {"session": "gone", "user_id": 7, "expires_at": NOW + 60}
    admin = {"id": 7, "username": "alicia", "role": "admin", "version": 4}
    verifier.confirm(Confirmation.of({"users": [admin], "sessions": [gone], "something": "new"}))
    identity = verifier.verify(token())
    assert (identity.role, identity.username) == ("admin", "alicia")
    with pytest.raises(Unauthenticated, match="revoked"):
        verifier.verify(token(session="gone"))


@pytest.mark.parametrize("answer", [None, [], {}, {"users": []}, {"users": {}, "sessions": []}, "x"])
def test_what_is_no_confirmation_is_none(answer: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's
        Confirmation.of(answer)


def test_of_a_confirmation_only_what_cannot_be_read_is_lost() -> None:
    good = {"id": 8, "username": "bob", "role": "user", "version": 1}
    bad = [None, {}, {**good, "id": "8"}, {**good, "version": 0}, {**good, "role": 7}]
    assert [user.id for user in Confirmation.of({"users": [*bad, good], "sessions": [7]}).users] == [8]


def test_a_reading_by_auth_of_the_release_before_and_of_the_next_one_is_one(verifier: TokenVerifier) -> None:
    verifier.load(verification(something="new"))
    assert verifier.verify(token())


def in_history(number: int, history_id: str, *before: str, began_at: float = 0) -> dict[str, Any]:
    return {"number": number, "id": history_id, "began_at": int(began_at), "before": list(before)}


def test_a_token_names_the_account_and_the_history(verifier: TokenVerifier) -> None:
    identity = verifier.verify(token())
    assert (identity.uid, identity.history) == (UID, HISTORY)


def test_a_token_of_another_history_is_not_accepted(verifier: TokenVerifier) -> None:
    verifier.load(verification(history=in_history(1, HISTORY)))
    identity = verifier.verify(token())
    verifier.load(verification(history=in_history(2, OTHER, HISTORY, began_at=time.time() - 3600)))
    assert verifier.ending(identity) == "revoked"
    with pytest.raises(Unauthenticated, match="restore"):
        verifier.verify(token())


def test_auth_of_the_release_before_says_nothing_of_histories(verifier: TokenVerifier) -> None:
    verifier.load(verification(history=in_history(2, OTHER)))
    verifier.load(verification())
    with pytest.raises(Unauthenticated):
        verifier.verify(token())


def of_the_release_before(at: datetime) -> str:
    """A token without account and history."""
    said = jwt.decode(token(at=at), options={"verify_signature": False})
    claims = {name: said[name] for name in said if name not in ("uid", "his")}
    headers = {"kid": KEY.kid, "typ": "at+jwt"}
    return jwt.encode(claims, domain.private_key(KEY, ""), algorithm="EdDSA", headers=headers)


def test_a_token_without_a_history_is_good_until_a_restore(verifier: TokenVerifier) -> None:
    now = datetime.now(UTC)
    verifier.load(verification(history=in_history(1, HISTORY, began_at=time.time())))
    old = of_the_release_before(now - timedelta(seconds=30))
    identity = verifier.verify(old)
    assert (identity.user_id, identity.uid) == (7, None)
    verifier.load(verification(history=in_history(2, OTHER, HISTORY, began_at=time.time() - 5)))
    assert verifier.ending(identity) == "revoked"
    with pytest.raises(Unauthenticated):
        verifier.verify(old)
    assert verifier.verify(of_the_release_before(now)).user_id == 7
