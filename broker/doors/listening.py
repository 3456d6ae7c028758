"""The socket that a front door listens on: what HOST and PORT name, or one line on why that cannot be."""

import asyncio
import errno
from typing import Any

from broker.config import ConfigurationError


def bound(door: str, host: str, port: int) -> Any:
    """A socket that has taken the port; it does not listen yet. `door` is what its settings begin with:
    GATEWAY.

    `::` takes the port of IPv4 as well. Of a name with addresses of both kinds it is the one of IPv4.
    Raises ConfigurationError.
    """
    # The class that asyncio has: where eventlet has patched this process, the socket module's waits.
    plain = vars(asyncio.base_events)["socket"]
    try:
        found = plain.getaddrinfo(host, port, type=plain.SOCK_STREAM, flags=plain.AI_PASSIVE)
        family, kind, protocol, _, address = min(found, key=lambda each: each[0] != plain.AF_INET)
        taken = plain.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise _cannot(door, host, port, error) from error
    try:
        # What is left of a predecessor's connections does not keep the port from us. Two cannot listen on
        # it at once all the same.
        taken.setsockopt(plain.SOL_SOCKET, plain.SO_REUSEADDR, 1)
        if family == plain.AF_INET6:
            taken.setsockopt(plain.IPPROTO_IPV6, plain.IPV6_V6ONLY, address[0] != "::")
        taken.bind(address)
    except OSError as error:
        taken.close()
        raise _cannot(door, host, port, error) from error
    taken.setblocking(False)
    return taken


def listen(door: str, taken: Any, backlog: int) -> None:
    """Let the kernel connect clients. Raises ConfigurationError: another has begun to meanwhile."""
    try:
        taken.listen(backlog)
    except OSError as error:
        host, port = taken.getsockname()[:2]
        raise _cannot(door, host, port, error) from error


def url(host: str, port: int, scheme: str = "http") -> str:
    """A door's, an IPv6 address in brackets."""
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _cannot(door: str, host: str, port: int, error: Exception) -> ConfigurationError:
    number = error.errno if isinstance(error, OSError) else None
    reason = getattr(error, "strerror", None) or "not a name"
    if number is None or number < 0:  # of the resolver, whose class eventlet replaces
        return ConfigurationError(f"{door}_HOST {host}: has no address ({reason})")
    if number == errno.EADDRNOTAVAIL:
        return ConfigurationError(f"{door}_HOST {host}: is no address of this machine")
    if number == errno.EAFNOSUPPORT:
        return ConfigurationError(f"{door}_HOST {host}: this machine does not speak IPv6")
    if number in (errno.EADDRINUSE, errno.EACCES):
        return ConfigurationError(f"{door}_PORT {port} on {host}: {reason}; set {door}_PORT to another")
    return ConfigurationError(f"{door}_HOST {host}: cannot be listened on ({reason})")
