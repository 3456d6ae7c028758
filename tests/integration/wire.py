"""A wire between a process and a server, to be cut while both live."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self
from urllib.parse import urlsplit

BYTES = 65536


class Wire:
    """`url` leads to the server at `target` as long as the wire is not cut."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._server = (parts.hostname, parts.port)
        self._entrance = socket.create_server(("127.0.0.1", 0))
        port = self._entrance.getsockname()[1]
        self.url = target.replace(f"{parts.hostname}:{parts.port}", f"127.0.0.1:{port}")
        self._open: list[socket.socket] = []
        self._is_cut = False
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections, and take none until `mend()`."""
        with self._lock:
            self._is_cut = True
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
            self._open.clear()

    def mend(self) -> None:
        self._is_cut = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._entrance.shutdown(socket.SHUT_RDWR)
        self._entrance.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                near, _ = self._entrance.accept()
                with self._lock:
                    if self._is_cut:
                        near.close()
                        continue
                    far = socket.create_connection(self._server)
                    self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_carry, args=[source, sink], daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(BYTES):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
