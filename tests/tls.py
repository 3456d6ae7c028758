"""TLS in front of a server that speaks none, with a certificate of an authority that nobody else knows."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
CHUNK_BYTES = 64 * 1024
POSTGRES_ASKS_FOR_TLS = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"  # SSLRequest
POSTGRES_AGREES = b"S"


@dataclass(frozen=True)
class Certificates:
    authority: Path  # its certificate
    server: Path  # a certificate of it, and the key


def certificates(folder: Path, host: str = HOST) -> Certificates:
    """A new authority, and a certificate of it for the address `host`."""
    begin = datetime.now(UTC) - timedelta(hours=1)
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer, subject = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("authority", "server")
    )

    def begun(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=1))
            .add_extension(x509.BasicConstraints(name is issuer, None), critical=True)
        )

    authority = begun(issuer, authority_key).sign(authority_key, hashes.SHA256())
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    server = begun(subject, server_key).add_extension(addresses, critical=False)
    pem = serialization.Encoding.PEM
    key = server_key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + server.sign(authority_key, hashes.SHA256()).public_bytes(pem)
    made = Certificates(folder / "ca.pem", folder / "server.pem")
    made.authority.write_bytes(authority.public_bytes(pem))
    made.server.write_bytes(key)
    return made


@contextmanager
def in_front_of(port: int, made: Certificates, *, postgres: bool = False) -> Iterator[int]:
    """The port at which TLS is spoken for the server at `port`; PostgreSQL's clients ask for it first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server)

    def serve(client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection((HOST, port)) as server:
            if postgres:
                if client.recv(8) != POSTGRES_ASKS_FOR_TLS:
                    return
                client.sendall(POSTGRES_AGREES)
            with context.wrap_socket(client, server_side=True) as secure:
                _relay(secure, server)

    def accept() -> None:
        with suppress(OSError):  # the end: it was closed
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _relay(secure: ssl.SSLSocket, server: socket.socket) -> None:
    """Until either side is at its end. What comes and what goes have a thread each."""

    def carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                target.sendall(data)
        for each in (secure, server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=carry, args=(server, secure), daemon=True)
    back.start()
    carry(secure, server)
    back.join()
