"""A file that a service touches while it is well, for whoever looks from outside: a container's health check.

To ask the service itself takes a Python of its own each time, and RabbitMQ may have another replica answer.
"""

import logging
from pathlib import Path

import eventlet
from nameko.extensions import DependencyProvider

from broker import config
from broker.database import Database, status
from broker.link import Link

_log = logging.getLogger(__name__)

EVERY_SECONDS = 5.0  # docker-compose.yml believes in it for 20


class HealthFile(DependencyProvider):
    """Touches HEALTH_FILE while the service's database and its broker can be reached. Injects nothing."""

    link = Link()

    def start(self) -> None:
        name = config.settings(self.container.config).HEALTH_FILE
        if name:
            self.container.spawn_managed_thread(lambda: self._keep(Path(name)), identifier="health file")

    def _keep(self, file: Path) -> None:
        while True:
            try:
                if self._is_well():
                    file.touch()
            except OSError as error:
                _log.warning("HEALTH_FILE %s cannot be written (%s)", file, error.strerror)
            eventlet.sleep(EVERY_SECONDS)

    def _is_well(self) -> bool:
        databases = [each for each in self.container.dependencies if isinstance(each, Database)]
        return self.link.is_open and all(
            each.transaction is not None and status(each.transaction)["status"] == "OK" for each in databases
        )
