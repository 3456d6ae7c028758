"""Reviews: of a movie, and by themselves."""

from werkzeug.wrappers import Response

from gateway.http import http
from gateway.requests import Request, row_id
from gateway.responses import json_response, message
from gateway.routes.resource import Resource


class Reviews(Resource):
    @http("POST", "/api/movies/<movie_id>/reviews")
    def create_review(self, request: Request, movie_id: str) -> Response:
        actor = self.actor(request)
        body, key = request.json_body(), request.idempotency_key
        review_id = self.movies.create_review(row_id(movie_id), body, actor, key)
        return message("Review created", 201, {"Location": f"/api/reviews/{review_id}"}, id=review_id)

    @http("GET", "/api/movies/<movie_id>/reviews")
    def list_reviews(self, request: Request, movie_id: str) -> Response:
        return json_response(self.movies.reviews_of_movie(row_id(movie_id), request.parameters()))

    @http("GET", "/api/movies/<movie_id>/ratings")
    def show_ratings(self, request: Request, movie_id: str) -> Response:  # noqa: ARG002
        return json_response(self.movies.ratings(row_id(movie_id)))

    @http("GET", "/api/reviews/<review_id>")
    def show_review(self, request: Request, review_id: str) -> Response:  # noqa: ARG002
        return json_response(self.movies.get_review(row_id(review_id)))

    @http("PUT", "/api/reviews/<review_id>")
    def update_review(self, request: Request, review_id: str) -> Response:
        actor = self.actor(request)
        self.movies.update_review(row_id(review_id), request.json_body(), actor, request.idempotency_key)
        return message("Review updated successfully")

    @http("DELETE", "/api/reviews/<review_id>")
    def delete_review(self, request: Request, review_id: str) -> Response:
        actor = self.actor(request)
        self.movies.delete_review(row_id(review_id), actor, request.idempotency_key)
        return message("Review deleted successfully")

    @http("PUT", "/api/reviews/<review_id>/like")
    def like_review(self, request: Request, review_id: str) -> Response:
        actor = self.actor(request)
        likes = self.movies.like(row_id(review_id), actor, request.idempotency_key)
        return json_response({"likes": likes})

    @http("DELETE", "/api/reviews/<review_id>/like")
    def unlike_review(self, request: Request, review_id: str) -> Response:
        actor = self.actor(request)
        likes = self.movies.unlike(row_id(review_id), actor, request.idempotency_key)
        return json_response({"likes": likes})
