"""eventlet's hub on an asyncio event loop: greenlets and coroutines in one thread, which wait for each other.

eventlet's own such hub runs its timers in a coroutine, which is woken for each greenlet that gets its turn: a
task, a timer and an event of asyncio's every time. Here a timer of eventlet's is one of asyncio's.
"""

import importlib.util
import signal
import sys
from typing import Any

import eventlet
from eventlet import hubs, patcher
from eventlet.hubs import asyncio as eventlets


class Hub(eventlets.Hub):
    """`loop` is the event loop."""

    running: bool
    stopping: bool

    def _post_initialize(self) -> None:
        patcher._unmonkey_patch_asyncio_all()
        import asyncio

        self.loop: Any = asyncio.SelectorEventLoop(_selectors().DefaultSelector())
        asyncio.set_event_loop(self.loop)
        # With one handler of its own the loop wakes up for every signal, also those of signal.signal().
        self.loop.add_signal_handler(signal.SIGWINCH, lambda: None)

    def add_timer(self, timer: Any) -> float:
        seconds = timer.seconds
        if seconds <= 0:
            timer.handle = self.loop.call_soon(self._fire, timer)
        else:
            timer.handle = self.loop.call_later(seconds, self._fire, timer)
        return float(self.clock() + seconds)

    def timer_canceled(self, timer: Any) -> None:
        timer.handle.cancel()

    def run(self, *_: Any, **__: Any) -> None:
        if self.running:
            raise RuntimeError("Already running!")
        self.running, self.stopping = True, False
        try:
            self.loop.run_forever()
        finally:
            self.running = self.stopping = False

    def abort(self, wait: bool = False) -> None:
        if self.running:
            self.stopping = True
            self.loop.stop()
        if wait:
            self.schedule_call_global(0, lambda: None)
            self.switch()

    def _fire(self, timer: Any) -> None:
        try:
            timer()
        except self.SYSTEM_EXCEPTIONS:
            raise
        except BaseException:
            self.squelch_timer_exception(timer, sys.exc_info())

    def _file_cb(self, cb: Any, fileno: int) -> None:
        try:
            cb(fileno)
        except self.SYSTEM_EXCEPTIONS:
            raise
        except BaseException:
            self.squelch_exception(fileno, sys.exc_info())

    def _obsolete(self, fileno: int) -> bool:
        found = bool(super()._obsolete(fileno))
        if self.closed:
            self.loop.call_soon(self._close_all)
        return found

    def _close_all(self) -> None:
        while self.closed:
            self.close_one()


def _selectors() -> Any:
    """The module `selectors` as it is where nobody has taken epoll out of it, as eventlet's patching does."""
    patched = sys.modules["select"]
    sys.modules["select"] = patcher.original("select")
    try:
        spec = importlib.util.find_spec("selectors")
        if spec is None or spec.loader is None:
            raise ImportError("selectors")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.modules["select"] = patched
    return module


def select() -> None:
    """Make it this process's hub, unless one on asyncio is already. To be called before anything waits.

    Nameko patches everything, and so makes a hub, before it imports a service.
    """
    if not isinstance(hubs.get_hub(), eventlets.Hub):
        hubs.use_hub(Hub)
        eventlet.hubs.get_hub()
