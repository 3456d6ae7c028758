"""A stock Nameko gateway: `@http` and `RpcProxy`, all defaults."""

import json

from nameko.rpc import RpcProxy
from nameko.web.handlers import http
from werkzeug.wrappers import Response


class StockGateway:
    name = "stock_gateway"

    movies = RpcProxy("stock_movies")

    @http("GET", "/echo/<int:movie_id>")
    def echo(self, request, movie_id):  # noqa: ARG002
        return Response(json.dumps(self.movies.echo(movie_id)), mimetype="application/json")

    @http("GET", "/api/movies/<int:movie_id>")
    def show_movie(self, request, movie_id):  # noqa: ARG002
        return Response(json.dumps(self.movies.get(movie_id)), mimetype="application/json")
