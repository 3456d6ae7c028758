"""A full deployment for crowds of sockets that all come from 127.0.0.1."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.listeners import compile_listeners
from tests.platforms import FullDeployment
from tests.servers import PrivateServers


@contextmanager
def deployment_for(sockets: int) -> Iterator[tuple[FullDeployment, Path]]:
    """One process of each part on private servers, started, that admits so many sockets; and the compiled
    listeners.
    """
    with PrivateServers() as servers, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = compile_listeners(folder)
        deployment = FullDeployment(servers.urls, folder)
        deployment.environment["NOTIFIER_ADDRESS_CONNECTIONS"] = str(sockets)
        deployment.environment["NOTIFIER_ADDRESS_RATE"] = "1000000"
        try:
            deployment.start()
            yield deployment, program
        finally:
            deployment.stop()
