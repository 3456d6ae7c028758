from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker import local_socket
from broker.config import ConfigurationError
from broker.errors import DeadlineExceeded, NotFound, ServiceUnavailable
from broker.reaching import OneProcess, _patience


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / local_socket.NAME))
        listener.listen()
        yield listener


def answer(listener: socket.socket, line: bytes) -> threading.Thread:
    """Answer one request with `line`, whatever it is."""

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(2**16)
            connection.sendall(line)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("line", "raised"),
    [
        (b"", ServiceUnavailable),
        (
            b'{"result": null, "error": {"exc_type": "NotFound", "exc_path": "broker.errors.NotFound", '
            b'"exc_args": ["Movie not found"], "value": "Movie not found"}}\n',
            NotFound,
        ),
    ],
)
def test_a_call_ends_as_it_ends_there(
    listener: socket.socket, tmp_path: Path, line: bytes, raised: type[Exception]
) -> None:
    thread = answer(listener, line)
    with pytest.raises(raised):
        OneProcess(tmp_path).call("movies.get", (1,), {}, 5)
    thread.join()


def test_a_result_is_given_on(listener: socket.socket, tmp_path: Path) -> None:
    thread = answer(listener, b'{"result": {"id": 1}, "error": null}\n')
    assert OneProcess(tmp_path).call("movies.get", (1,), {}, 5) == {"id": 1}
    thread.join()


def test_a_platform_that_has_gone_is_said_so(tmp_path: Path) -> None:
    way = OneProcess(tmp_path)
    with pytest.raises(ConfigurationError, match="no platform runs on these data"):
        way.check()
    with pytest.raises(ServiceUnavailable):
        way.dispatch("movies", "planned", None)


@pytest.mark.parametrize("depth", [0, 30])
def test_a_socket_has_a_short_address_however_long_its_path_is(tmp_path: Path, depth: int) -> None:
    folder = tmp_path.joinpath(*["folder"] * depth)
    folder.mkdir(parents=True, exist_ok=True)
    with local_socket.address(folder) as address, socket.socket(socket.AF_UNIX) as listener:
        assert len(os.fsencode(address)) < 108
        listener.bind(address)
    assert (folder / local_socket.NAME).is_socket()


def press_twice(capsys: pytest.CaptureFixture[str]) -> None:
    with _patience(30):
        os.kill(os.getpid(), signal.SIGINT)
        assert "Giving up" in capsys.readouterr().err
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)


def test_the_first_ctrl_c_waits_and_the_second_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        press_twice(capsys)
    assert signal.getsignal(signal.SIGINT) is before


def test_what_is_too_late_says_what_that_means() -> None:
    with (
        pytest.raises(DeadlineExceeded, match="what was not begun by now is not done any more"),
        _patience(3),
    ):
        raise DeadlineExceeded
