"""Threads that also start where eventlet drives the event loop."""

import _thread
from collections.abc import Callable


def spawn(run: Callable[[], object]) -> None:
    """Run `run` on a thread of its own."""
    # Thread.start() waits until the thread has begun. Where eventlet drives this loop and threads are its
    # green ones, that wait can never end: the loop is what would have to begin it.
    _thread.start_new_thread(run, ())
