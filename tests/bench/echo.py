"""Our gateway and service with nothing behind them: what the platform's RPC costs by itself.

`nameko run tests.bench.echo` runs both in one process, `tests.bench.echo:EchoGateway` and
`tests.bench.echo:EchoMovies` one each.
"""

from typing import Any

from broker.rpc import ServiceRpc, rpc
from gateway.http import http
from gateway.requests import Request
from gateway.responses import json_response

MOVIE = {
    "id": 1,
    "title": "A film of the bench",
    "description": "d" * 300,
    "rating": 7.4321,
    "review_count": 11,
    "genre": "Drama",
    "poster_url": "https://example.com/posters/" + "0" * 32 + ".jpg",
    "release_date": "1999-12-31",
}


class EchoMovies:
    name = "echo_movies"

    @rpc
    def echo(self, movie_id: int) -> dict[str, Any]:
        return MOVIE | {"id": movie_id}


class EchoGateway:
    name = "echo_gateway"

    movies = ServiceRpc("echo_movies")

    @http("GET", "/echo/<int:movie_id>")
    def echo(self, request: Request, movie_id: int) -> Any:  # noqa: ARG002
        return json_response(self.movies.echo(movie_id))
