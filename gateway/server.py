"""The web server: takes connections in up to a bound, and on SIGTERM sees every one of them to its end."""

import logging
import time
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import eventlet
from eventlet import wsgi
from eventlet.green import socket
from eventlet.greenio import GreenSocket
from nameko.extensions import DependencyProvider
from nameko.web.server import BindAddress, WebServer

from broker import config
from gateway.application import JsonApplication
from gateway.protocol import JsonProtocol, refuse, stop_reading

_log = logging.getLogger(__name__)

BACKLOG = 1024
LOOK_AGAIN_SECONDS = 0.02
ACCEPT_AGAIN_SECONDS = 0.1
# Connections beyond the cap that are being told so; those beyond even that are closed without a word.
MOST_REFUSALS = 100
REFUSAL_SECONDS = 1.0
# After SIGTERM, beside the settings' GATEWAY_STOP_GRACE: for what is arriving, and then for all the rest. A
# request that arrives at the very end of the one still has the other to be answered in.
ARRIVAL_SECONDS = 3.0
ANSWER_SECONDS = 7.0


@runtime_checkable
class Needed(Protocol):
    """A dependency provider that the gateway cannot serve without. Readiness asks all that there are."""

    def why_not_ready(self) -> str | None:
        """One sentence for people, or None where all is well. Must wait for nothing."""


class JsonServer(WebServer):
    """Nameko's web server, on GATEWAY_HOST and GATEWAY_PORT."""

    _gt: Any
    _serv: Any
    _sock: Any

    def __init__(self) -> None:
        super().__init__()
        self.stopping = False
        self._draining: Any = None
        self._connections: dict[Any, list[Any]] = {}  # eventlet's state of each, by socket

    @property
    def bind_addr(self) -> BindAddress:
        return BindAddress(self._settings.GATEWAY_HOST, self._settings.GATEWAY_PORT)

    def setup(self) -> None:
        super().setup()
        self._settings = config.settings(self.container.config)
        self._pool = eventlet.GreenPool(self._settings.GATEWAY_CONNECTIONS)
        self._refusals = eventlet.GreenPool(MOST_REFUSALS)

    def start(self) -> None:
        if self._sock is not None:
            return  # every route's entrypoint starts it
        # SO_REUSEADDR: what is left of a predecessor's connections does not keep the port from us. Two
        # gateways cannot listen on it at once all the same.
        self._sock = socket.socket()
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._sock.bind(self.bind_addr)
        # Clients that find nobody here go elsewhere; after a 503 they would not. Without an end to it,
        # though, a gateway that cannot serve could not even be asked why.
        deadline = time.monotonic() + self._settings.GATEWAY_START_TIMEOUT
        while any(self.reasons_not_to_serve()) and not self.stopping and time.monotonic() < deadline:
            eventlet.sleep(LOOK_AGAIN_SECONDS)
        if self.stopping:
            return
        self._sock.listen(BACKLOG)
        self._serv = self.get_wsgi_server(self._sock, self.get_wsgi_app())
        self._gt = self.container.spawn_managed_thread(self.run)

    def reasons_not_to_serve(self) -> Iterator[str]:
        """Each one sentence for people; none where the gateway is ready."""
        if self.stopping:
            yield "The gateway is stopping"
        for provider in self.container.dependencies:
            if isinstance(provider, Needed) and (reason := provider.why_not_ready()):
                yield reason

    def get_wsgi_app(self) -> JsonApplication:
        return JsonApplication(self.make_url_map())

    def get_wsgi_server(
        self, sock: Any, wsgi_app: Any, protocol: Any = JsonProtocol, debug: bool = False
    ) -> Any:
        server = wsgi.Server(
            sock,
            sock.getsockname(),
            wsgi_app,
            protocol=protocol,
            debug=debug,
            log=_log,
            log_output=False,
            capitalize_response_headers=False,  # as ours are
            keepalive=self._settings.GATEWAY_IDLE_TIMEOUT,
        )
        server.settings = self._settings
        return server

    def run(self) -> None:
        while True:
            try:
                sock, address = self._sock.accept()
            except OSError as error:
                # No file left to open, most likely. An error that ended this thread would end the gateway.
                _log.error("no connection could be taken in: %s", error.strerror)
                eventlet.sleep(ACCEPT_AGAIN_SECONDS)
                continue
            self._admit(sock, address)
            eventlet.sleep(0)  # a crowd at the door must not keep those inside from being served

    def _admit(self, sock: Any, address: Any) -> None:
        if self._pool.free() > 0:
            self._pool.spawn(self._serve, sock, address)
        elif self._refusals.free() > 0:
            self._refusals.spawn(refuse, sock, 503, REFUSAL_SECONDS)
        else:
            sock.close()

    def _serve(self, sock: Any, address: Any) -> None:
        self._connections[sock] = state = [address, sock, wsgi.STATE_IDLE]
        try:
            self._serv.process_request(state)
        except OSError as error:
            _log.debug("a connection broke: %s", error)
        except Exception:
            _log.exception("a connection failed")
        finally:
            del self._connections[sock]
            sock.close()

    def drain(self) -> None:
        """Take no more connections in, and see those there are to their end; returns when they are gone."""
        if self._draining is None:
            self._draining = eventlet.spawn(self._drain)
        self._draining.wait()

    def stop(self) -> None:
        self.drain()
        self.wait_for_providers()

    def _drain(self) -> None:
        self.stopping = True
        if self._gt is None:
            return  # it never got to listen
        self._serv.keepalive = False  # each answer from here on says `Connection: close`
        self._close_listener()
        # A client that sends now and then does not know yet, and what it sends on a connection that we closed
        # in the same moment would be lost on it. So it is told with its next answer.
        if self._all_gone(self._settings.GATEWAY_STOP_GRACE):
            return
        for sock, state in list(self._connections.items()):
            if state[2] == wsgi.STATE_IDLE:
                stop_reading(sock)
        if self._all_gone(ARRIVAL_SECONDS):
            return
        for sock in list(self._connections):
            stop_reading(sock)
        if not self._all_gone(ANSWER_SECONDS):
            _log.warning("stopping with %d connections left", len(self._connections))

    def _close_listener(self) -> None:
        self._gt.kill()
        # The kernel has connected those in the queue already: closed with them in it, it would reset them.
        self._sock.settimeout(0)
        while True:
            try:
                sock, address = self._sock.accept()
            except OSError:
                break
            self._admit(GreenSocket(sock), address)
        self._sock.close()

    def _all_gone(self, seconds: float) -> bool:
        """Whether the last connection has ended; waits for it for so long."""
        with eventlet.Timeout(seconds, False):
            self._pool.waitall()
        return not self._pool.running()


class FrontDoor(DependencyProvider):
    """Injects the web server, for whoever must know whether it can serve."""

    server = JsonServer()

    def get_dependency(self, worker_ctx: Any) -> JsonServer:  # noqa: ARG002
        return self.server
