"""/api/auth and the keys that verify access tokens."""

from werkzeug.wrappers import Response

from broker.errors import NotFound, Unauthenticated
from gateway.http import http
from gateway.requests import Request
from gateway.responses import json_response, message
from gateway.routes.resource import Resource
from gateway.routes.status import status_response


class Accounts(Resource):
    @http("POST", "/api/auth/register")
    def register(self, request: Request) -> Response:
        self.auth.register(request.json_body(), request.idempotency_key)
        return message("User registered successfully", 201)

    @http("POST", "/api/auth/login")
    def login(self, request: Request) -> Response:
        session = self.auth.login(request.json_body(), request.idempotency_key)
        return message("Login successful", **session)

    @http("POST", "/api/auth/logout")
    def logout(self, request: Request) -> Response:
        identity = self.signed_in(request)
        self.auth.logout(identity.user_id, identity.session, request.idempotency_key)
        # Here at once; elsewhere by the event that auth has recorded.
        self.identities.verifier.revoke(identity.session, identity.expires_at)
        return message("User logged out")

    @http("GET", "/api/auth/me")
    def show_own_profile(self, request: Request) -> Response:
        identity = self.signed_in(request)
        try:
            profile = self.auth.profile(identity.user_id)
        except NotFound as error:
            raise Unauthenticated("The account of this access token is gone") from error
        count = self.movies.count_reviews_of_user(identity.user_id)
        return json_response({**profile, "review_count": count})

    @http("PATCH", "/api/auth/me")
    def change_own_profile(self, request: Request) -> Response:
        identity = self.signed_in(request)
        body, key = request.json_body(), request.idempotency_key
        profile = self.auth.update_profile(identity.user_id, identity.session, body, key)
        return message("Profile updated successfully", **profile)

    @http("DELETE", "/api/auth/me")
    def delete_own_account(self, request: Request) -> Response:
        identity = self.signed_in(request)
        # Without a body it is the password that is missing, not a content type.
        body = request.json_body() if request.raw_body else {}
        self.auth.delete_account(identity.user_id, body, request.idempotency_key)
        self.identities.verifier.revoke(identity.session, identity.expires_at)
        return message("User deleted successfully")

    @http("GET", "/api/auth/status")
    def show_auth_status(self, request: Request) -> Response:  # noqa: ARG002
        return status_response(self.auth)

    @http("GET", "/.well-known/jwks.json")
    def show_public_keys(self, request: Request) -> Response:  # noqa: ARG002
        return json_response({"keys": self.auth.public_keys()}, headers={"Cache-Control": "max-age=60"})
