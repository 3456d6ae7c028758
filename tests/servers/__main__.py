"""Starts the servers, prints their URLs for a shell, and keeps them until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys

from . import PrivateServers, ServerFailed


def main() -> int:
    argparse.ArgumentParser(
        prog="python -m tests.servers",
        description="Starts a private RabbitMQ, Redis and PostgreSQL on free ports of 127.0.0.1, prints "
        "their URLs as three `export NAME=...` lines (AMQP_URI, REDIS_URL, TEST_POSTGRES_URL), and keeps "
        "them until Ctrl-C or SIGTERM; their data goes with them. A server whose URL is in the environment "
        "already is used as it is.",
    ).parse_args()
    try:
        with PrivateServers() as servers:
            for name, url in servers.urls.environment().items():
                print(f"export {name}={shlex.quote(url)}", flush=True)
            print("Running. Ctrl-C ends the servers.", file=sys.stderr, flush=True)
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return 0
    except ServerFailed as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
