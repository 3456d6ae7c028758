from __future__ import annotations

import pytest

from gateway.throttles import Kind, network


@pytest.mark.parametrize(
    ("address", "counts_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("x" * 1000, "x" * 64),
    ],
)
def test_an_address_counts_with_the_network_of_its_customer(address: str, counts_as: str) -> None:
    assert network(address) == counts_as


@pytest.mark.parametrize(
    ("method", "url", "kind"),
    [
        ("GET", "/health/live", Kind.FREE),
        ("GET", "/api/auth/status", Kind.FREE),
        ("GET", "/api/movies/status", Kind.FREE),
        ("GET", "/.well-known/jwks.json", Kind.FREE),
        ("POST", "/api/auth/login", Kind.SIGN_IN),
        ("POST", "/api/auth/register", Kind.REGISTRATION),
        ("PATCH", "/api/auth/me", Kind.PASSWORD),
        ("DELETE", "/api/auth/me", Kind.PASSWORD),
        ("GET", "/api/auth/me", Kind.READ),
        ("GET", "/api/movies/<movie_id>", Kind.READ),
        ("POST", "/api/movies", Kind.WRITE),
        ("PUT", "/api/reviews/<review_id>/like", Kind.WRITE),
        ("DELETE", "/api/movies/<movie_id>", Kind.WRITE),
    ],
)
def test_what_a_route_counts_as(method: str, url: str, kind: Kind) -> None:
    assert Kind.of(method, url) is kind
