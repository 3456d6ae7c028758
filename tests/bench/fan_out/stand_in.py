"""Stands in for the notifier's own server until there is one."""

import socketio

from broker import config


def socket_server(settings: config.Settings) -> socketio.AsyncServer:
    return socketio.AsyncServer(async_mode="aiohttp", async_handlers=False)
