"""A private PostgreSQL whose superuser comes in from 127.0.0.1 without a password."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import struct
from pathlib import Path

from .process import Account, Child, ServerFailed, program
from .server import HOST, READY_SECONDS, Server

SUPERUSER = "postgres"
PROTOCOL_3_0 = 196608


class Postgres(Server):
    name = "PostgreSQL"
    # "Fast": SIGTERM would wait for the last client to leave.
    stop_signal = signal.SIGINT

    def __init__(self, folder: Path | None = None, *, durable: bool = False) -> None:
        super().__init__(folder)
        self._durable = durable
        self.environment: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"postgresql+psycopg2://{SUPERUSER}:{SUPERUSER}@{HOST}:{self.port}/postgres"

    def _launch(self) -> Child:
        account = postgres_account()
        data = self.folder / "data"
        if account:
            self._let_in(account)
        if not (data / "PG_VERSION").exists():
            self._make_cluster(data, account)
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "fsync": "on" if self._durable else "off",
            "synchronous_commit": "on",
            "timezone": "UTC",
            # In the data folder: what a killed server leaves in /dev/shm, nobody would remove.
            "dynamic_shared_memory_type": "mmap",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return self._spawn([postgres_program("postgres"), "-D", data, *options], self.environment, account)

    def _let_in(self, account: Account) -> None:
        """PostgreSQL does not run as root: its account must be able to reach the folder."""
        if self._temporary:
            self._temporary.chmod(0o711)
        for folder in (self.folder, *self.folder.parents):
            if not folder.stat().st_mode & 0o001:
                raise ServerFailed(f"PostgreSQL, running as user {account.uid}, is not let into {folder}")

    def _make_cluster(self, data: Path, account: Account | None) -> None:
        shutil.rmtree(data, ignore_errors=True)  # half of one, if the last start was broken off
        data.mkdir(mode=0o700)
        if account:
            os.chown(data, account.uid, account.gid)
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
        child = self._spawn(
            [postgres_program("initdb"), "-D", data, "-U", SUPERUSER, *options], account=account
        )
        if child.wait(READY_SECONDS) != 0:
            raise ServerFailed(f"initdb failed:\n{child.log_tail()}")

    def _answers(self, connection: socket.socket) -> bool:
        return is_ready(connection)


def is_ready(connection: socket.socket) -> bool:
    """Whether a session begins over this connection."""
    words = ("user", SUPERUSER, "database", "postgres", "")
    startup = struct.pack("!i", PROTOCOL_3_0) + b"".join(word.encode() + b"\0" for word in words)
    connection.sendall(struct.pack("!i", len(startup) + 4) + startup)
    with connection.makefile("rb") as messages:
        while len(header := messages.read(5)) == 5:
            kind, length = struct.unpack("!ci", header)
            messages.read(length - 4)
            if kind == b"Z":  # ReadyForQuery
                connection.sendall(b"X\0\0\0\4")  # Terminate
                return True
            if kind == b"E":  # "the database system is starting up"
                break
    return False


def postgres_account() -> Account | None:
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        raise ServerFailed("PostgreSQL does not run as root, and there is no user postgres") from None
    return Account(entry.pw_uid, entry.pw_gid)


def postgres_program(name: str) -> Path:
    # Debian keeps the programs of each version apart, off PATH: postgres and initdb must be of the same one.
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")]
    newest = max(versions, key=lambda folder: int(folder.parent.name), default=None)
    return newest / name if newest else program(name)
