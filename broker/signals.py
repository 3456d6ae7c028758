"""A signal wakes a service that waits for nothing else.

Python asks the system again when a signal has interrupted a wait (PEP 475). So eventlet's hub slept on until
its next timer, and a service with nothing to do began to stop some seconds after its SIGTERM.
"""

import signal
import socket

import eventlet
from eventlet.hubs import trampoline

_MOST_SIGNALS = 4096  # read at once


def wake_for_signals() -> None:
    """Have each signal of this process end the hub's wait; on asyncio it does so by itself."""
    woken, waker = socket.socketpair()
    woken.setblocking(False)
    waker.setblocking(False)
    try:
        before = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    except ValueError:  # not in the main thread, where signals are handled
        return
    if before != -1:
        signal.set_wakeup_fd(before)
        return
    eventlet.spawn(_read_on, woken, waker)


def _read_on(woken: socket.socket, _waker: socket.socket) -> None:
    """Reads what each signal writes; with this greenlet both ends are kept open."""
    while True:
        trampoline(woken, read=True)
        woken.recv(_MOST_SIGNALS)
