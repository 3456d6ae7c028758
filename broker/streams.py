"""Standard output and error of a process that goes on without them: closed ones, ones on a full disk."""

import os
import sys

STANDARD = (0, 1, 2)


def secure() -> None:
    """At the start: what is closed leads nowhere from now on, so that no other file gets its number."""
    for number in STANDARD:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for good
    # A path may hold what the terminal's encoding cannot say.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def say(text: str) -> None:
    """Print to standard output; where it takes nothing, that is said on standard error, and all is well."""
    try:
        print(text, flush=True)
    except OSError as error:
        _lead_nowhere(sys.stdout.fileno())
        _complain(f"standard output takes nothing ({error.strerror}); this goes on without it")


def finish() -> None:
    """At the end: what cannot be written any more is not what the exit code is about."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _lead_nowhere(stream.fileno())


def _complain(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _lead_nowhere(sys.stderr.fileno())


def _lead_nowhere(number: int) -> None:
    """What a stream still has to write goes there, too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
