"""Rotation of the keys that sign access tokens."""

from __future__ import annotations

from tests.clients import Api, Listener, sign_in, sign_up
from tests.platforms import FullDeployment


def test_after_a_rotation_old_tokens_stay_good_and_new_ones_are_good_at_once(
    full_deployment: FullDeployment,
) -> None:
    account = sign_up(full_deployment.gateways[0])
    before = {
        key["kid"] for key in Api(full_deployment.gateways[0]).get("/.well-known/jwks.json").json()["keys"]
    }
    kid = full_deployment.rpc("auth.rotate_keys")
    fresh = sign_in(full_deployment.gateways[0], account.email)
    for gateway in full_deployment.gateways:
        for token in (account.token, fresh.token):
            assert Api(gateway, token).get("/api/auth/me").json()["id"] == account.id
    for notifier in full_deployment.notifiers:
        Listener(notifier, fresh.token).close()
    published = Api(full_deployment.gateways[0]).get("/.well-known/jwks.json").json()["keys"]
    assert {key["kid"] for key in published} == before | {kid}
