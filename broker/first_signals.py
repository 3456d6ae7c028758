"""For before everything else: a signal in the first second ends the process without a word.

Nothing is there yet that would have to be cleaned up, and an import is no place for an exception.
"""

import os
import signal
import sys

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPED = 0  # the exit code of a stop that was asked for, at whatever moment
INTERRUPTED = 130  # and that of a command that has not done what it was told to
SET_ROLE = "set-role"


def heeded() -> list[signal.Signals]:
    """Those that mean an end; the end of the terminal is none under `nohup`."""
    return [each for each in SIGNALS if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]


def _leave(_number: int, _frame: object) -> None:
    is_run = sys.argv[0].endswith("standalone.py") and SET_ROLE not in sys.argv
    os._exit(STOPPED if is_run else INTERRUPTED)


def leave_without_a_word() -> None:
    """From now on, until the work is there that a signal ends in its own way (`broker/interruption.py`)."""
    for number in heeded():
        signal.signal(number, _leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # `make run` holds them back until here
