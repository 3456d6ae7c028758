"""How the parts are."""

from typing import Any

from werkzeug.wrappers import Response

from broker.errors import ServiceUnavailable, Unavailable
from gateway.http import http
from gateway.parts import Parts
from gateway.requests import Request
from gateway.responses import json_response
from gateway.routes.resource import Resource
from gateway.server import FrontDoor


def status_response(service: Any) -> Response:
    """What a service's `status` says: 200 while its database answers, 500 otherwise."""
    try:
        status = service.status()
    except Unavailable as error:
        status = {"status": "ERROR", "database": "Not connected", "error": error.message}
    return json_response(status, 200 if status["status"] == "OK" else 500)


class Status(Resource):
    front_door = FrontDoor()
    parts = Parts()

    @http("GET", "/health/live")
    def show_liveness(self, request: Request) -> Response:  # noqa: ARG002
        return json_response({"status": "OK"})

    @http("GET", "/health/ready")
    def show_readiness(self, request: Request) -> Response:  # noqa: ARG002
        for trouble in self.front_door.troubles():
            raise ServiceUnavailable(trouble.sentence)
        return json_response({"status": "OK"})
