"""The notifier's own server: `python -m tests.bench.fan_out.ours PORT EVENT_FILE`."""

import uvloop

from broker import config
from notifications.sockets import socket_server
from tests.bench.fan_out.python_server import application, serve

# As the notifier pushes what the broker announces.
YIELD_AFTER = 8

if __name__ == "__main__":
    settings = config.Settings(NOTIFIER_ADDRESS_CONNECTIONS=1_000_000, NOTIFIER_ADDRESS_RATE=1_000_000)
    serve(application(socket_server(settings), YIELD_AFTER), uvloop.new_event_loop())
