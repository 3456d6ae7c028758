"""From asyncio, where requests come in, to greenlets, where routes wait for other services, and back."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from eventlet.hubs import get_hub
from greenlet import greenlet

Given = TypeVar("Given")
Result = TypeVar("Result")


async def in_greenlet(function: Callable[[Given], Result], argument: Given) -> Result:
    """What `function` answers, in a greenlet of its own. It must not raise.

    To be awaited on the event loop of eventlet's hub. One that waits for nothing has answered before anything
    else gets its turn.
    """
    results: list[Result] = []
    waiting: asyncio.Future[None] | None = None

    def run() -> None:
        results.append(function(argument))
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    greenlet(run, get_hub().greenlet).switch()
    if not results:
        waiting = asyncio.get_running_loop().create_future()
        await waiting
    return results[0]
