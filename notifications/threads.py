"""Threads that also start where eventlet drives the event loop."""

import _thread
import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def spawn(run: Callable[[], object]) -> None:
    """Run `run` on a thread of its own."""
    # Thread.start() waits until the thread has begun. Where eventlet drives this loop and threads are its
    # green ones, that wait can never end: the loop is what would have to begin it.
    _thread.start_new_thread(run, ())


async def answered(work: Callable[[], Any], hand_over: Callable[..., object]) -> Any:
    """What `work` answers on a thread of its own, or the Exception that it raises.

    `hand_over(function, *args)` runs `function(*args)` on the event loop.
    """
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def settle(answer: Any) -> None:
        if not outcome.done():
            outcome.set_result(answer)

    def run() -> None:
        try:
            answer = work()
        except Exception as error:  # whatever it is, somebody waits
            answer = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            hand_over(settle, answer)

    spawn(run)
    return await outcome
