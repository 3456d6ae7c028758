"""The entrypoint of HTTP under Nameko, `@http`."""

import logging
from typing import Any

from nameko.containers import WorkerContext
from nameko.web.handlers import HttpRequestHandler
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from broker.calls import ANSWER_BY
from broker.doors.refusals import Refusal
from broker.errors import PlatformError
from gateway.requests import Request
from gateway.responses import failure
from gateway.server import JsonServer
from gateway.throttles import Kind, Throttles

_log = logging.getLogger(__name__)


class JsonRequestHandler(HttpRequestHandler):
    """`@http(method, url)`: the method gets a `Request` and the URL's values, and answers a Response."""

    server = JsonServer()
    throttles = Throttles()

    def setup(self) -> None:
        super().setup()
        self._kind = Kind.of(self.method, self.url)

    def stop(self) -> None:
        # Nameko stops entrypoints and then what these work with. The server would come last, so requests
        # would still arrive when nothing can answer them.
        self.server.drain()
        super().stop()

    def handle_request(self, request: Request) -> Response:
        """The method's answer, or what its error means to the client.

        It runs in the connection's own greenlet and not in one of Nameko's workers: a connection has one
        request at a time, and the twenty workers, waiting for a dead service, would keep everybody else
        waiting for them. All that it waits for are other services, which have a deadline.
        """
        try:
            with self.throttles.applied(self._kind, request):
                args, kwargs = self.get_entrypoint_parameters(request)
                response: Response = getattr(self._service(request, args, kwargs), self.method_name)(
                    *args, **kwargs
                )
        except (PlatformError, HTTPException, Refusal) as error:
            response = failure(error, request.request_id)
        except Exception as error:
            _log.exception("%s %s failed: request %s", request.method, request.shown_path, request.request_id)
            response = failure(error, request.request_id)
        return response

    def _service(self, request: Request, args: Any, kwargs: Any) -> Any:
        """The service with all that its methods need, as Nameko makes one for each of its workers."""
        service = self.container.service_cls()
        data = {"request_id": request.request_id, ANSWER_BY: request.answer_by}
        context = WorkerContext(self.container, service, self, args, kwargs, data=data)
        for provider in self.container.dependencies:
            setattr(service, provider.attr_name, provider.get_dependency(context))
        return service


http = JsonRequestHandler.decorator
