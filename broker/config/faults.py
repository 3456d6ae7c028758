"""What is wrong with the settings, as lines for people."""

_SHOWN = 60  # characters of a value


class ConfigurationError(Exception):
    """The settings, or what they name, cannot be; each fault is one line, and `str()` has all of them."""

    def __init__(self, *lines: str) -> None:
        self.lines = tuple(one_line(line) for line in lines)
        super().__init__("\n".join(self.lines))


def one_line(text: str) -> str:
    """`text` with what is not printable spelt out."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text
    )


def shown(value: object) -> str:
    """A value as a line may show it."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
