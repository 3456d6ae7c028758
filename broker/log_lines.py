"""What stands in a log is one line a message, whatever a client has put into it."""

import logging
import time

_log = logging.getLogger(__name__)

AGAIN_SECONDS = 10.0

# A terminal obeys escape sequences, and who reads a log by its lines believes a line break.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    code: f"\\u{code:04x}" for code in (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
_IN_TRACES = {code: shown for code, shown in _CONTROLS.items() if chr(code) not in "\n\t"}


class OneLineFormatter(logging.Formatter):
    """The standard formatter, with control characters spelt out."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return super().formatMessage(record).translate(_CONTROLS)

    def formatException(self, ei: object) -> str:
        return super().formatException(ei).translate(_IN_TRACES)  # type: ignore[arg-type]


class Drops:
    """Says that something was dropped: at once, and while it goes on every AGAIN_SECONDS with how often."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._count = 0
        self._quiet_until = 0.0

    def note(self, why: str) -> None:
        self._count += 1
        if time.monotonic() >= self._quiet_until:
            _log.warning("dropped %s (%s), %d until now", self._what, why, self._count)
            self._quiet_until = time.monotonic() + AGAIN_SECONDS
