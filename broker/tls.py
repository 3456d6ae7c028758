"""What `amqps://` asks of the broker's certificate: that somebody we trust has signed it, for this very host.

An authority of one's own is named in the URL, `?ssl_ca_certs=/path/to/ca.pem`, as it is for Redis; without it
the machine's are trusted. py-amqp by itself takes a certificate for any host.
"""

import ssl
from collections.abc import Mapping
from typing import Any

_PREFIX = "ssl_"  # of kombu's parameters in a URL


def options(given: Mapping[str, Any] | bool | None, host: str) -> dict[str, Any]:
    """py-amqp's options for a connection to `host`, of what a URL's parameters gave, or of these options."""
    named = dict(given) if isinstance(given, Mapping) else {}
    chosen = {name.removeprefix(_PREFIX): value for name, value in named.items()}
    chosen.pop("check_hostname", None)  # py-amqp knows none; `ssl_server_hostname` is the way
    required = chosen.setdefault("cert_reqs", ssl.CERT_REQUIRED)
    named_host = chosen.pop("server_hostname", host)
    if not required:  # somebody has said so
        return {**chosen, "cert_reqs": ssl.CERT_NONE}
    return {**chosen, "server_hostname": named_host}
