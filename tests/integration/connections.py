"""Connections to a gateway that send what no well-behaved client library would, or stop in the middle."""

from __future__ import annotations

import json
import select
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any, Self
from urllib.parse import urlsplit

import requests

from tests.platforms import FullDeployment
from tests.processes import Process, free_port, wait_until

WAIT_SECONDS = 20
START_SECONDS = 30


@dataclass
class Answer:
    status: int
    headers: dict[str, str]  # names in small letters
    body: Any

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


class Connection:
    """A TCP connection to the gateway at `url`; `window` bounds the bytes that wait to be read here, `source`
    is the address that it comes from.
    """

    def __init__(self, url: str, window: int | None = None, source: str = "127.0.0.1") -> None:
        address = urlsplit(url)
        self.socket = socket.socket()
        self.socket.bind((source, 0))
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.settimeout(WAIT_SECONDS)
        try:
            self.socket.connect((address.hostname, address.port))
        except OSError:
            self.socket.close()
            raise

    def send(self, data: bytes) -> Self:
        self.socket.sendall(data)
        return self

    def ask(self, path: str, more: bytes = b"", method: str = "GET") -> Self:
        """Send a whole request, with `more` headers."""
        return self.send(f"{method} {path} HTTP/1.1\r\nHost: test\r\n".encode() + more + b"\r\n")

    def answer(self) -> Answer:
        """The next answer; ConnectionError where there is none."""
        response = HTTPResponse(self.socket)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, json.loads(response.read()))

    @property
    def is_silent(self) -> bool:
        """Whether neither an answer nor the end of the connection has come."""
        return not select.select([self.socket], [], [], 0)[0]

    def ended(self) -> bool:
        """Whether it ends as it should: nothing more comes, and it is not reset. Waits for it."""
        return self.socket.recv(1) == b""

    def wait_until_reset(self) -> None:
        """Return once the gateway has given it up, without reading what it sent."""
        poll = select.poll()
        poll.register(self.socket, 0)
        assert poll.poll(WAIT_SECONDS * 1000), "the connection is still there"

    def leave(self) -> None:
        """Close it, and wait until the other side has as well: from then on it counts for nothing there."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
            while self.socket.recv(65536):
                pass
        self.close()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


@dataclass
class Gateway:
    """A gateway beside those of a deployment."""

    url: str
    process: Process

    def status(self, path: str) -> int:
        """0 where nobody listens."""
        try:
            return requests.get(self.url + path, timeout=WAIT_SECONDS).status_code
        except requests.ConnectionError:
            return 0

    def wait_for(self, path: str) -> None:
        """Return once it answers 200 there."""

        def answers() -> bool:
            self.process.check()
            return self.status(path) == 200

        wait_until(answers, START_SECONDS, f"the gateway answers at {path}")


@contextmanager
def another_gateway(deployment: FullDeployment, **settings: str) -> Iterator[Gateway]:
    """A gateway of its own beside those of `deployment`; not waited for."""
    port = free_port()
    process = deployment.start_service("gateway", port, {"GATEWAY_PORT": str(port), **settings})
    try:
        yield Gateway(f"http://127.0.0.1:{port}", process)
    finally:
        code = process.stop()
        deployment.processes.remove(process)
    assert code == 0, process.tail()


@contextmanager
def frozen(deployment: FullDeployment, service: str) -> Iterator[None]:
    """Every process of `service` stands still, so that calls to it wait."""
    processes = [each for each in deployment.processes if each.name.startswith(f"{service}-")]
    for process in processes:
        process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.signal(signal.SIGCONT)
