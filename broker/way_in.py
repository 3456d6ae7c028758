"""The operators' way into a platform that is one process, whose broker nobody else reaches.

A connection to the socket, which only the platform's own user may open, is one request: a line of JSON,
`{"method": "auth.set_role", "args": […], "kwargs": {…}, "seconds": 5}` or `{"source": "movies", "type": "…",
"data": …}` for an event. The answer is a line too, `{"result", "error"}` as Nameko's replies have them.
"""

import logging
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import eventlet
import orjson
from eventlet.green import socket
from nameko.constants import PERSISTENT
from nameko.exceptions import RemoteError, UnknownService, serialize
from nameko.extensions import DependencyProvider
from pydantic import Field

from broker import config, local_socket
from broker.calls import MOST_CALL_BYTES
from broker.errors import Invalid, ServiceUnavailable
from broker.link import LinkDown
from broker.rpc import RpcClient
from broker.validation import Body, Fields, Plain, parse

_log = logging.getLogger(__name__)

MOST_AT_ONCE = 8  # requests; others wait in the kernel
REQUEST_SECONDS = 5.0  # for a request to arrive, and for its answer to be taken
MOST_SECONDS = 3600


class Asked(Body):
    method: Annotated[str, Field(pattern=r"^\w{1,100}\.\w{1,100}$")]
    args: list[Any]
    kwargs: Fields
    seconds: Annotated[float, Field(gt=0, le=MOST_SECONDS)]


class Dispatched(Body):
    source: Annotated[str, Field(pattern=r"^\w{1,100}$")]
    type: Annotated[Plain, Field(max_length=200)]
    data: Any


class WayIn(DependencyProvider):
    """Listens in DATA_FOLDER and calls the `services`. It injects nothing."""

    client = RpcClient()

    def __init__(self, services: Collection[str]) -> None:
        self._services = services
        self._listener: Any = None

    def setup(self) -> None:
        self._folder = Path(config.settings(self.container.config).DATA_FOLDER)

    def start(self) -> None:
        try:
            self._listener = self._listen()
        except OSError as error:
            _log.warning("no way in for operators at %s: %s", self._folder, error.strerror or error)
        else:
            self.container.spawn_managed_thread(self._accept, identifier="the operators' way in")

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
            (self._folder / local_socket.NAME).unlink(missing_ok=True)

    def _listen(self) -> Any:
        # What a platform has left that was killed: this one alone has the folder.
        (self._folder / local_socket.NAME).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with local_socket.address(self._folder) as address:
            before = os.umask(0o177)
            try:
                listener.bind(address)
            finally:
                os.umask(before)
        listener.listen(MOST_AT_ONCE)
        return listener

    def _accept(self) -> None:
        pool = eventlet.GreenPool(MOST_AT_ONCE)
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # it was closed
            pool.spawn_n(self._serve, connection)

    def _serve(self, connection: Any) -> None:
        with connection:
            connection.settimeout(REQUEST_SECONDS)
            with suppress(OSError):  # whoever asked has gone
                connection.sendall(self._answer(_line(connection)) + b"\n")

    def _answer(self, line: bytes) -> bytes:
        try:
            return orjson.dumps({"result": self._done(line), "error": None})
        except RemoteError as error:
            told = {"exc_type": error.exc_type, "exc_path": "", "exc_args": [], "value": error.value}
        except Exception as error:
            told = serialize(error)
        return orjson.dumps({"result": None, "error": told})

    def _done(self, line: bytes) -> Any:
        try:
            request = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise Invalid("A call must be JSON") from error
        if isinstance(request, dict) and "method" in request:
            asked = parse(Asked, request)
            if (service := asked.method.partition(".")[0]) not in self._services:
                raise UnknownService(service)
            return self.client.call(asked.method, asked.args, asked.kwargs, asked.seconds)
        event = parse(Dispatched, request)
        body = orjson.dumps(event.data)
        try:
            self.client.link.publish(body, f"{event.source}.events", event.type, delivery_mode=PERSISTENT)
        except LinkDown as error:
            raise ServiceUnavailable from error
        return None


def _line(connection: Any) -> bytes:
    """What comes before a line's end. Raises OSError where that does not come."""
    read = bytearray()
    while not read.endswith(b"\n"):
        if len(read) > MOST_CALL_BYTES or not (part := connection.recv(64 * 1024)):
            raise ConnectionError
        read += part
    return bytes(read)
