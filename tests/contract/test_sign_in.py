"""Sign-in: login, logout, what tokens are and which are refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest

from tests.clients import PASSWORD, Account, Api, sign_in, sign_up
from tests.contract.expect import EFFECT_SECONDS, assert_error, assert_message, get, unique
from tests.platforms import Platform
from tests.processes import wait_until

WRONG = "Invalid email or password"


def test_login_answers_a_bearer_token(anyone: Api, alice: Account) -> None:
    response = anyone.post("/api/auth/login", {"email": alice.email, "password": PASSWORD})
    assert_message(response, "Login successful")
    body = response.json()
    assert body["user"] == alice.username
    assert body["token_type"] == "Bearer"
    assert isinstance(body["expires_in"], int)
    assert body["expires_in"] > 0
    assert get(Api(anyone.base, body["access_token"]), "/api/auth/me")["id"] == alice.id


def test_a_wrong_password_is_refused(anyone: Api, alice: Account) -> None:
    response = anyone.post("/api/auth/login", {"email": alice.email, "password": "not this one"})
    assert_error(response, 401, WRONG, fields=set())


def test_an_unknown_email_is_refused_with_the_same_text(anyone: Api) -> None:
    response = anyone.post("/api/auth/login", {"email": f"{unique()}@example.com", "password": PASSWORD})
    assert_error(response, 401, WRONG, fields=set())


@pytest.mark.parametrize("password", ["", PASSWORD.upper(), PASSWORD + " "])
def test_a_password_is_taken_literally(anyone: Api, alice: Account, password: str) -> None:
    assert_error(anyone.post("/api/auth/login", {"email": alice.email, "password": password}), 401, WRONG)


def test_logout_says_so_and_the_token_is_refused_at_once(gateway: str, alice: Account) -> None:
    session = sign_in(gateway, alice.email)
    assert_message(session.api.post("/api/auth/logout"), "User logged out")
    assert_error(session.api.get("/api/auth/me"), 401)
    assert_error(session.api.post("/api/movies", {"title": "Too late"}), 401)
    assert_error(session.api.post("/api/auth/logout"), 401)


def test_after_logout_the_token_is_refused_at_every_gateway(platform: Platform, alice: Account) -> None:
    session = sign_in(platform.gateways[0], alice.email)
    for gateway in platform.gateways:
        assert Api(gateway, session.token).get("/api/auth/me").status_code == 200
    session.api.post("/api/auth/logout")
    for gateway in platform.gateways:
        api = Api(gateway, session.token)
        wait_until(
            lambda api=api: api.get("/api/auth/me").status_code == 401,
            EFFECT_SECONDS,
            f"{gateway} refuses it",
        )
        assert_error(api.get("/api/auth/me"), 401)


def test_logout_ends_one_session_alone(gateway: str, alice: Account) -> None:
    one, another = (sign_in(gateway, alice.email) for _ in range(2))
    one.api.post("/api/auth/logout")
    assert get(another.api, "/api/auth/me")["id"] == alice.id


def test_a_token_of_one_gateway_serves_at_every_other(platform: Platform) -> None:
    session = sign_up(platform.gateways[-1])
    for gateway in platform.gateways:
        assert get(Api(gateway, session.token), "/api/auth/me")["id"] == session.id


def verified(anyone: Api, token: str) -> dict[str, Any]:
    """The claims of `token`, checked as another program would with the published keys."""
    keys = jwt.PyJWKSet.from_dict(get(anyone, "/.well-known/jwks.json"))
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=["EdDSA"], options={"verify_aud": False})
    return claims


def test_the_published_keys_verify_access_tokens(anyone: Api, alice: Account) -> None:
    login = anyone.post("/api/auth/login", {"email": alice.email, "password": PASSWORD}).json()
    claims = verified(anyone, login["access_token"])
    assert claims["sub"] == str(alice.id)
    assert claims["exp"] - claims["iat"] == login["expires_in"]


def test_the_published_keys_are_public_halves(anyone: Api) -> None:
    keys = get(anyone, "/.well-known/jwks.json")["keys"]
    assert keys
    # RFC 8037: `d` is the private key.
    assert [key for key in keys if "d" in key] == []
    assert {(key["kty"], key["crv"], key["use"], key["alg"]) for key in keys} == {
        ("OKP", "Ed25519", "sig", "EdDSA")
    }


def test_the_published_keys_refuse_a_forged_token(anyone: Api, alice: Account) -> None:
    with pytest.raises(jwt.InvalidSignatureError):
        verified(anyone, tampered(alice.token, sub="1"))


def encoded(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def tampered(token: str, **claims: Any) -> str:
    """`token` with other claims under the old signature."""
    header, payload, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return ".".join([header, encoded({**said, **claims}), signature])


def unsigned(token: str) -> str:
    """`token` with no signature, saying so."""
    header = {**jwt.get_unverified_header(token), "alg": "none"}
    return f"{encoded(header)}.{token.split('.')[1]}."


def signed_with_the_public_key(anyone: Api, token: str) -> str:
    """`token` with an HMAC whose secret is the published key."""
    key = get(anyone, "/.well-known/jwks.json")["keys"][0]
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(claims, key["x"].ljust(64), algorithm="HS256", headers={"kid": key["kid"]})


@pytest.fixture
def tokens(anyone: Api, alice: Account) -> dict[str, str]:
    """Alice's token, and what one might make of it."""
    nothing = encoded({})
    return {
        "valid": alice.token,
        "cut_off": alice.token[:-4],
        "bare": alice.token.rsplit(".", 1)[0],
        "of_another": tampered(alice.token, sub="1"),
        "of_longer_life": tampered(alice.token, exp=2**33),
        "unsigned": unsigned(alice.token),
        "hmac": signed_with_the_public_key(anyone, alice.token),
        "list_as_header": f"{encoded([1])}.{nothing}.x",
        "object_as_kid": f"{encoded({'alg': 'EdDSA', 'kid': {}})}.{nothing}.x",
    }


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer   ",
        "{valid}",
        "Basic {valid}",
        "Bearer garbage",
        "Bearer a.b.c",
        "Bearer ..",
        "Bearer caf\u00e9",
        pytest.param("Bearer " + "x" * 4000, id="Bearer and 4,000 characters"),
        "Bearer {valid} {valid}",
        "Bearer {cut_off}",
        "Bearer {bare}",
        "Bearer {bare}.",
        "Bearer {of_another}",
        "Bearer {of_longer_life}",
        "Bearer {unsigned}",
        "Bearer {hmac}",
        "Bearer {list_as_header}",
        "Bearer {object_as_kid}",
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/api/auth/me"), ("POST", "/api/movies")])
def test_what_is_no_valid_token_is_refused(
    anyone: Api, tokens: dict[str, str], method: str, path: str, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header.format(**tokens).encode()}
    body = {"title": "Never"} if method == "POST" else None
    assert_error(anyone.request(method, path, body, headers=headers), 401, fields=set())


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_whatever_its_case(anyone: Api, alice: Account, scheme: str) -> None:
    response = anyone.get("/api/auth/me", headers={"Authorization": f"{scheme} {alice.token}"})
    assert response.status_code == 200


def test_what_needs_no_token_is_served_with_a_bad_one(gateway: str, alice: Account) -> None:
    stranger = Api(gateway, "garbage")
    assert stranger.get("/api/movies", params={"limit": 1}).status_code == 200
