"""Notifiers beside those of a deployment."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.connections import Gateway
from tests.platforms import FullDeployment
from tests.processes import PROGRAMS, Process, free_port


@contextmanager
def another_notifier(
    deployment: FullDeployment, until: str = "/health/ready", **settings: str
) -> Iterator[tuple[Process, str]]:
    """A notifier of its own that answers 200 at `until`, and its URL. The test may kill it."""
    port = free_port()
    command = [PROGRAMS / "python", "-m", "notifications"]
    process = deployment.start_process(
        f"notifications-{port}", command, {"NOTIFIER_PORT": str(port), **settings}
    )
    notifier = Gateway(f"http://127.0.0.1:{port}", process)
    try:
        notifier.wait_for(until)
        yield process, notifier.url
    finally:
        code = process.stop()
        deployment.processes.remove(process)
    assert code in (0, -signal.SIGKILL), process.tail()
