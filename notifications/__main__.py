"""`python -m notifications`: the notifier in a process of its own."""

import argparse
import asyncio
import gc
import logging
import signal
import sys
from pathlib import Path

import uvloop

from broker import config
from broker.doors import listening
from notifications.service import Notifier

_log = logging.getLogger("notifications")

# The thread that hears the broker asks for the interpreter's lock several times a message, and waits that
# long each time while the loop is busy.
SWITCH_SECONDS = 0.0005


def main() -> int:
    """Run until SIGTERM or SIGINT. The exit status: 0, or 2 where it cannot start, with one line of why."""
    parser = argparse.ArgumentParser(
        prog="python -m notifications", description="Push reviews to the rooms of Socket.IO clients."
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=config.path_from_environment(),
        help="the settings file (default: $CONFIG or config.yaml)",
    )
    arguments = parser.parse_args()
    try:
        settings = config.read(arguments.config, "AMQP_URI")
        typed = config.settings(settings)
        notifier = Notifier(settings)
        config.set_up_logging(settings)
        _collect_seldom()
        sys.setswitchinterval(SWITCH_SECONDS)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(notifier, listening.url(typed.NOTIFIER_HOST, typed.NOTIFIER_PORT)))
    except config.ConfigurationError as error:
        return config.refuse(error, "notifications")
    return 0


async def _run(notifier: Notifier, url: str) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    starting = asyncio.create_task(notifier.start())
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
    else:
        try:
            await starting
        except config.ConfigurationError:
            stopped.cancel()
            raise
        _log.info("listening on %s", url)
    await stopped
    await notifier.stop()


def _collect_seldom() -> None:
    """A full collection stops everything for 0.12 ms a socket, 1.2 s with 10,000 of them.

    Closed sockets leave no cycles behind (see `WebSocket`), so little is found: every million new objects is
    often enough, instead of every 70,000.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


if __name__ == "__main__":
    sys.exit(main())
