"""Stock python-socketio on aiohttp: `python -m tests.bench.fan_out.stock PORT EVENT_FILE`."""

import asyncio

import socketio

from tests.bench.fan_out.python_server import application, serve

if __name__ == "__main__":
    server = socketio.AsyncServer(
        async_mode="aiohttp", transports=["websocket"], ping_interval=120, ping_timeout=60
    )
    serve(application(server, yield_after=0), asyncio.new_event_loop())
