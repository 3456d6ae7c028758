"""Who a request comes from: the one place that believes in X-Forwarded-For, or does not."""

import ipaddress


def client_address(peer: str, forwarded: str, proxies: int) -> str:
    """The client's address, past the `proxies` in front that are ours.

    `peer` is who has connected, `forwarded` the header X-Forwarded-For. Each proxy adds at the end whom it
    saw, so what is further left than the proxies reach is the client's own word. Addresses of one IPv6
    network (/64) are one client.
    """
    if proxies:
        named = [part.strip() for part in forwarded.rsplit(",", proxies)[-proxies:]]
        if len(named) == proxies and named[0]:
            peer = named[0]
    return _network(peer) if ":" in peer else peer


def _network(text: str) -> str:
    try:
        address = ipaddress.IPv6Address(text.strip("[]").partition("%")[0])
    except ValueError:
        return text
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))
