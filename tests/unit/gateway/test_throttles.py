from __future__ import annotations

import pytest

from gateway.throttles import Kind


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
