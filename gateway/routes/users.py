"""/api/users: what everyone may know of a user."""

from werkzeug.wrappers import Response

from gateway.http import http
from gateway.requests import Request, row_id
from gateway.responses import json_response
from gateway.routes.resource import Resource


class Users(Resource):
    @http("GET", "/api/users/<user_id>")
    def show_user(self, request: Request, user_id: str) -> Response:  # noqa: ARG002
        profile = self.auth.public_profile(row_id(user_id))
        count = self.movies.count_reviews_of_user(profile["id"])
        return json_response({**profile, "review_count": count})

    @http("GET", "/api/users/<user_id>/reviews")
    def list_reviews_of_user(self, request: Request, user_id: str) -> Response:
        profile = self.auth.public_profile(row_id(user_id))
        return json_response(self.movies.reviews_of_user(profile["id"], request.parameters()))
