from __future__ import annotations

import pytest

from broker.doors.clients import client_address


@pytest.mark.parametrize(
    ("peer", "counts_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("[2001:db8::1]", "2001:db8::/64"),
        ("", ""),
    ],
)
def test_an_address_counts_with_the_network_of_its_customer(peer: str, counts_as: str) -> None:
    assert client_address(peer, "", 0) == counts_as
    assert client_address("10.0.0.1", f"203.0.113.9, {peer or '-'}", 1) == (counts_as or "-")


@pytest.mark.parametrize(
    ("forwarded", "proxies", "address"),
    [
        ("203.0.113.9", 0, "10.0.0.1"),
        ("203.0.113.9", 1, "203.0.113.9"),
        ("192.0.2.1, 203.0.113.9", 1, "203.0.113.9"),
        ("192.0.2.1, 203.0.113.9, 10.0.0.2", 2, "203.0.113.9"),
        ("203.0.113.9", 2, "10.0.0.1"),
        ("", 1, "10.0.0.1"),
        ("203.0.113.9, ", 1, "10.0.0.1"),
    ],
)
def test_only_proxies_of_ours_are_believed(forwarded: str, proxies: int, address: str) -> None:
    assert client_address("10.0.0.1", forwarded, proxies) == address
