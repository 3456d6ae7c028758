"""/api/movies"""

from typing import Any
from urllib.parse import urlencode

from werkzeug.wrappers import Response

from gateway.http import http
from gateway.requests import Request, row_id
from gateway.responses import json_response, message
from gateway.routes.resource import Resource
from gateway.routes.status import status_response


def _source(page: dict[str, Any]) -> str:
    return f"Results retrieved from {'cache' if page['cached'] else 'database'}"


class Movies(Resource):
    @http("GET", "/api/movies")
    def list_movies(self, request: Request) -> Response:
        parameters = request.parameters()
        page = self.movies.list_page(parameters)
        headers = {}
        if page["next_cursor"]:
            query = urlencode({**parameters, "cursor": page["next_cursor"]})
            headers["Link"] = f'<movies?{query}>; rel="next"'
        return json_response(page["data"], headers=headers)

    @http("GET", "/api/movies/popular")
    def list_popular_movies(self, request: Request) -> Response:
        page = self.movies.popular(request.parameters())
        return message(_source(page), data=page["data"])

    @http("GET", "/api/movies/search")
    def search_movies(self, request: Request) -> Response:
        page = self.movies.search(request.parameters())
        more = {"next_cursor": page["next_cursor"]} if page["next_cursor"] else {}
        return message(_source(page), data=page["data"], **more)

    @http("GET", "/api/movies/suggest")
    def suggest_movies(self, request: Request) -> Response:
        return json_response({"data": self.movies.suggest(request.parameters())})

    @http("GET", "/api/movies/status")
    def show_movies_status(self, request: Request) -> Response:  # noqa: ARG002
        return status_response(self.movies)

    @http("DELETE", "/api/movies/cache/clear")
    def clear_cache(self, request: Request) -> Response:
        self.admin(request)
        self.movies.clear_cache()
        return message("All cache cleared successfully")

    @http("POST", "/api/movies")
    def create_movie(self, request: Request) -> Response:
        actor = self.actor(request)
        movie_id = self.movies.create(request.json_body(), actor, request.idempotency_key)
        return message("Movie created", 201, {"Location": f"/api/movies/{movie_id}"}, id=movie_id)

    @http("GET", "/api/movies/<movie_id>")
    def show_movie(self, request: Request, movie_id: str) -> Response:  # noqa: ARG002
        return json_response(self.movies.get(row_id(movie_id)))

    @http("PUT", "/api/movies/<movie_id>")
    def update_movie(self, request: Request, movie_id: str) -> Response:
        actor = self.actor(request)
        self.movies.update(row_id(movie_id), request.json_body(), actor, request.idempotency_key)
        return message("Movie updated successfully")

    @http("DELETE", "/api/movies/<movie_id>")
    def delete_movie(self, request: Request, movie_id: str) -> Response:
        actor = self.actor(request)
        self.movies.delete(row_id(movie_id), actor, request.idempotency_key)
        return message("Movie deleted successfully")
