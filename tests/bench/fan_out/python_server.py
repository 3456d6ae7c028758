"""What the two Python servers of the comparison share: who connects is in the room, /emit speaks in it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import socketio
from aiohttp import web

from tests.bench.fan_out.event import NAME, numbered

ROOM = "42"
BACKLOG = 1024


def application(server: socketio.AsyncServer, yield_after: int) -> web.Application:
    """`/emit?n=K` sends K events back to back, and answers the number of each and when it began.

    `yield_after`: how many of them it sends before it gives way to the event loop; 0: it does not.
    """
    payload = json.loads(Path(sys.argv[2]).read_text())
    sent = 0
    app = web.Application()
    server.attach(app)

    async def connect(sid: str, _environ: dict[str, Any], _auth: object) -> None:
        await server.enter_room(sid, ROOM)

    async def emit(request: web.Request) -> web.Response:
        nonlocal sent
        began = []
        for count in range(1, int(request.query["n"]) + 1):
            began.append((sent, time.monotonic_ns()))
            await server.emit(NAME, numbered(payload, sent), room=ROOM)
            sent += 1
            if yield_after and count % yield_after == 0:
                await asyncio.sleep(0)
        return web.json_response(began)

    server.on("connect", connect)
    app.router.add_get("/emit", emit)
    return app


def serve(app: web.Application, loop: asyncio.AbstractEventLoop) -> None:
    """Serve on the port that the command line says."""
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop=loop,
        access_log=None,
        print=lambda *_: None,
        backlog=BACKLOG,
    )
