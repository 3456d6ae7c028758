"""A private PgBouncer in front of a PostgreSQL, as it comes but for what the tests give."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from sqlalchemy.engine import make_url

from .postgres import SUPERUSER, is_ready
from .process import Child, program
from .server import HOST, Server


class PgBouncer(Server):
    """`postgres`: SQLAlchemy's URL of a superuser, as whom all are let in. `settings`: of pgbouncer.ini."""

    name = "PgBouncer"

    def __init__(self, postgres: str, **settings: str) -> None:
        super().__init__()
        self._postgres = make_url(postgres)
        self._settings: Mapping[str, str] = settings

    @property
    def url(self) -> str:
        return self.in_front_of(f"postgresql+psycopg2://{SUPERUSER}@{HOST}/postgres")

    def in_front_of(self, database: str) -> str:
        """SQLAlchemy's URL of the same database through this."""
        return make_url(database).set(host=HOST, port=self.port).render_as_string(hide_password=False)

    def _launch(self) -> Child:
        url = self._postgres
        behind = f"host={url.host} port={url.port or 5432} user={url.username} password={url.password}"
        settings = {
            "listen_addr": HOST,
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "any",
            **self._settings,
        }
        lines = ["[databases]", f"* = {behind}", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in settings.items()]
        file = self.folder / "pgbouncer.ini"
        file.write_text("\n".join(lines) + "\n")
        # It does not run as root.
        account = ["-u", SUPERUSER] if os.geteuid() == 0 else []
        return self._spawn([program("pgbouncer", "usr/sbin/pgbouncer"), *account, file])

    def _answers(self, connection: socket.socket) -> bool:
        return is_ready(connection)
