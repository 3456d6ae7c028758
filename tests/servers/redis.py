"""A private Redis. Every write is in its append-only file before it is answered: a kill loses none."""

from __future__ import annotations

import socket

from .process import Child, program
from .server import HOST, Server


class Redis(Server):
    name = "Redis"

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def _launch(self) -> Child:
        server = program("redis-server", "usr/bin/redis-server")
        options = {
            "bind": HOST,
            "port": str(self.port),
            "dir": str(self.folder),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "no",  # the machine's crash is none of the tests'
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return self._spawn([server, *words])

    def _answers(self, connection: socket.socket) -> bool:
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
