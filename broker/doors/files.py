"""Open files: a connection is one, and many systems begin with 1,024 of them."""

import resource

DOORS = "FRONT_DOORS"  # in the settings of a process that has more than one: how many
RESERVE = 128  # for the broker, databases, logs and what is imported late
MOST = 100_000


def raise_limit() -> int:
    """As many files as this process may have, and how many that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return MOST * 2 if most == resource.RLIM_INFINITY else most


def connections_that_fit(files: int, doors: int, asked: int = MOST) -> int:
    """How many connections each of a process's front doors may hold; `asked` at most, 1 at least."""
    return max(1, min(asked, (files - RESERVE) // doors))
