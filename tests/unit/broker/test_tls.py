"""What a URL says of TLS, and what the connection asks for."""

from __future__ import annotations

import ssl
from typing import Any

import kombu
import pytest

from broker import tls

HOST = "broker.example"


def asked(query: str) -> dict[str, Any]:
    return tls.options(kombu.Connection(f"amqps://{HOST}/vhost{query}").ssl, HOST)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": HOST}),
        (
            "?ssl_ca_certs=/ca.pem&ssl_server_hostname=other",
            {"ca_certs": "/ca.pem", "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "other"},
        ),
        ("?ssl_check_hostname=false", {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": HOST}),
        ("?ssl_cert_reqs=CERT_NONE", {"cert_reqs": ssl.CERT_NONE}),
    ],
)
def test_a_url_says_what_is_asked_of_a_certificate(query: str, expected: dict[str, Any]) -> None:
    assert asked(query) == expected


def test_what_was_made_of_them_stays_as_it_is() -> None:
    """kombu connects again with the options that it was given, and by another name for the host."""
    first = asked("?ssl_ca_certs=/ca.pem")
    assert tls.options(first, "127.0.0.1") == first
