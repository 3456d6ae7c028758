"""The two ways to a running platform from outside: its RabbitMQ, or the socket of one that is one process.

Whatever a call ends with, it ends within its seconds, and after that nobody begins it any more.
"""

import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import kombu
from amqp.exceptions import NotFound as NoSuchQueue
from kombu.exceptions import KombuError
from nameko.constants import PERSISTENT
from nameko.exceptions import UnknownService

from broker import local_socket, rpc_client
from broker.config import ConfigurationError
from broker.errors import DeadlineExceeded, ServiceUnavailable
from broker.events import exchange

CHUNK_BYTES = 64 * 1024
SPARE_SECONDS = 1.0  # for the answer of a socket to arrive, after its call has ended


class Way(Protocol):
    """A way to a platform. Each method raises ServiceUnavailable where it is there no more."""

    where: str

    def check(self) -> None:
        """Raises ConfigurationError, one line for people, where nothing is there."""

    def call(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any], seconds: float) -> Any:
        """What `method` (`"movies.get"`) answers within `seconds`; raises what it raises, DeadlineExceeded,
        and UnknownService.
        """

    def dispatch(self, source: str, event_type: str, data: Any) -> None:
        """Announce an event."""


class Broker:
    """By RabbitMQ, on a connection for each call: none is idle for hours, and none is cut in mid-frame."""

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        self._uri, self._options = uri, options
        self.where = kombu.Connection(uri).as_uri()  # without the password

    def check(self) -> None:
        try:
            with rpc_client.open_connection(self._uri, self._options) as connection:
                connection.ensure_connection(max_retries=0)
        except Exception as error:
            cause = error.__cause__ or error  # kombu's own says nothing
            reason = getattr(cause, "strerror", None) or type(cause).__name__
            raise ConfigurationError(
                f"AMQP_URI {self.where}: the broker cannot be reached ({reason})"
            ) from error

    def call(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any], seconds: float) -> Any:
        service = method.partition(".")[0]
        with self._connection() as connection:
            try:
                queue = connection.default_channel.queue_declare(f"rpc-{service}", passive=True)
            except NoSuchQueue:
                raise UnknownService(service) from None
            if not queue.consumer_count:
                # What is sent now would be done by one that starts within `seconds`.
                raise ServiceUnavailable(f"{service} is not running; nothing was done")
            with _patience(seconds):
                return rpc_client.call(connection, method, *args, seconds=seconds, kwargs=kwargs)

    def dispatch(self, source: str, event_type: str, data: Any) -> None:
        with self._connection(confirm_publish=True) as connection:
            producer = connection.Producer(exchange=exchange(source), serializer="json")
            producer.publish(data, routing_key=event_type, delivery_mode=PERSISTENT)

    @contextmanager
    def _connection(self, **options: Any) -> Iterator[kombu.Connection]:
        with rpc_client.open_connection(self._uri, {**self._options, **options}) as connection:
            failures = (KombuError, OSError, *connection.connection_errors)
            try:
                connection.ensure_connection(max_retries=0)
                yield connection
            except failures as error:
                raise ServiceUnavailable("The broker cannot be reached") from error


class OneProcess:
    """By the socket of a platform that is one process, on the data in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.where = f"one process on the data in {folder}"

    def check(self) -> None:
        try:
            self._connect().close()
        except PermissionError as error:
            raise ConfigurationError(
                f"{self._folder}: the platform on these data belongs to another user"
            ) from error
        except OSError as error:
            raise ConfigurationError(f"{self._folder}: no platform runs on these data") from error

    def call(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any], seconds: float) -> Any:
        request = {"method": method, "args": list(args), "kwargs": dict(kwargs), "seconds": seconds}
        with _patience(seconds):
            return self._ask(request, seconds)

    def dispatch(self, source: str, event_type: str, data: Any) -> None:
        self._ask({"source": source, "type": event_type, "data": data}, SPARE_SECONDS)

    def _ask(self, request: Mapping[str, Any], seconds: float) -> Any:
        line = json.dumps(request).encode() + b"\n"
        answer = bytearray()
        try:
            with self._connect() as connection:
                connection.settimeout(seconds + SPARE_SECONDS)
                connection.sendall(line)
                while part := connection.recv(CHUNK_BYTES):
                    answer += part
        except TimeoutError as error:
            raise DeadlineExceeded from error
        except OSError as error:
            raise ServiceUnavailable("The platform has stopped") from error
        if not answer:
            raise ServiceUnavailable("The platform has stopped")
        return rpc_client.outcome(json.loads(answer))

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with local_socket.address(self._folder) as address:
                connection.connect(address)
        except OSError:
            connection.close()
            raise
        return connection


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Ctrl-C does not end a call that may have been handed over, until nobody can begin it any more; a second
    one does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ends = time.monotonic() + seconds
    pressed = False

    def give_up(_number: int, _frame: Any) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        left = max(ends - time.monotonic(), 0)
        print(f"\nGiving up: {left:.1f} s until nobody can begin it any more", file=sys.stderr, flush=True)

    before = signal.signal(signal.SIGINT, give_up)
    try:
        yield
    except DeadlineExceeded as error:
        raise DeadlineExceeded(
            f"No answer in {seconds:g} s; what was not begun by now is not done any more"
        ) from error
    finally:
        signal.signal(signal.SIGINT, before)
