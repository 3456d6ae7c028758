"""What stands in a log is one line a message, whatever a client has put into it."""

import logging

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
