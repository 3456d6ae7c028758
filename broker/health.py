"""`python -m broker.health auth`: whether the service answers, for a container's health check.

It asks the service's `status` RPC, prints one line, and exits 0 for a service that is well and 1 otherwise;
2 where the settings are wrong, with a line for each fault.

Where several replicas run, RabbitMQ hands the question to any of them, so this shows that the service
answers and not that this container does. A replica whose process ended is seen by Docker, which starts it
again. One that hangs is seen by RabbitMQ: it misses its heartbeats (`HEARTBEAT` of `config.yaml`), its
connection is closed, and what it was given goes to the others. Until then some of these checks get no answer
in time, in whichever container asked.
"""

import argparse
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue

from broker import config
from broker.errors import PlatformError
from broker.rpc_client import call, open_connection

Verdict = tuple[bool, str]


def ask(service: str, settings: config.Settings, seconds: float) -> Verdict:
    """Whether `service` (`"auth"`, `"movies"`) is well, and a few words that say so or why not."""
    try:
        with open_connection(settings.AMQP_URI, settings.TRANSPORT_OPTIONS) as connection:
            status = call(connection, f"{service}.status", seconds=seconds)
    except PlatformError as error:
        return False, str(error)
    except Exception as error:
        # A URL that is none, a service that has no such method: a line too, without what a URL may hold.
        return False, type(error).__name__
    why = f" ({status['error']})" if status.get("error") else ""
    return status["status"] == "OK", f"{status['status']}, database {status['database']}{why}"


def within(seconds: float, check: Callable[[], Verdict]) -> Verdict:
    """The verdict of `check`, or a bad one after `seconds`.

    On a thread, because no timeout of ours reaches the look-up of a host name or a half-open connection.
    """
    verdicts: SimpleQueue[Verdict] = SimpleQueue()
    threading.Thread(target=lambda: verdicts.put(check()), daemon=True).start()
    try:
        return verdicts.get(timeout=seconds)
    except Empty:
        return False, f"no answer in {seconds:g} s"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m broker.health",
        description="Ask a service whether it is well. Exits 0 if it is, 1 if not, 2 for wrong settings.",
    )
    parser.add_argument("service", choices=("auth", "movies"))
    parser.add_argument(
        "--config",
        type=Path,
        default=config.path_from_environment(),
        help="the settings file (%(default)s)",
    )
    parser.add_argument(
        "--timeout", type=float, default=4.0, help="seconds to wait for the answer (%(default)g)"
    )
    options = parser.parse_args()
    try:
        settings = config.settings(config.read(options.config, "AMQP_URI"))
    except config.ConfigurationError as error:
        return config.refuse(error, options.service)
    healthy, line = within(options.timeout, lambda: ask(options.service, settings, options.timeout))
    print(f"{options.service}: {line}")
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main())
