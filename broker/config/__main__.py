"""`make settings`, `python -m broker.config`: every setting, its value, where it came from, what it means."""

import argparse
import re
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from broker import config
from broker.config import documents, model
from broker.config.sections import SECTIONS
from broker.config.source import DEFAULT, FILE, Source, parse

_PASSWORDS = re.compile(
    r"(://[^:@/]*:)[^@]*(?=@)|([?&][^=&]*(?:pass|secret|key|token)[^=&]*=)[^&]*", re.IGNORECASE
)


def main() -> int:
    """The exit code: 0, or 2 where settings are wrong, with a line for each fault."""
    parser = argparse.ArgumentParser(prog="python -m broker.config", description=__doc__)
    parser.add_argument("--config", type=Path, default=config.path_from_environment(), help="(%(default)s)")
    parser.add_argument(
        "--write", action="store_true", help="instead, bring the files that tell the settings up to date"
    )
    options = parser.parse_args()
    if options.write:
        documents.write()
        return 0
    try:
        source = parse(options.config)
        config.check(source)
    except config.ConfigurationError as error:
        return config.refuse(error)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # who reads may have seen enough
    print("\n".join(_table(source)))
    return 0


def _table(source: Source) -> Iterator[str]:
    typed = model.settings(source.values)
    for section in SECTIONS:
        yield f"--- {documents.heading(section)}"
        for name in section.model_fields:
            yield f"{model.variable(name) or name} = {_shown(name, typed)}  ({_origin(source, name)})"
            said = f"{documents.meaning(name)}; must be {model.must_be(name)}".replace("`", "")
            yield from textwrap.wrap(said, 100, initial_indent="    ", subsequent_indent="    ")


def _origin(source: Source, name: str) -> str:
    origin = source.origins.get(name, DEFAULT)
    return f"{source.path}, line {source.lines[name]}" if origin == FILE else origin


def _shown(name: str, typed: config.Settings) -> str:
    value = str(getattr(typed, name))
    if not model.is_veiled(name):
        return value
    if name.endswith("_SECRET"):
        return "***" if value else ""
    return veiled(value)


def veiled(url: str) -> str:
    """A URL without its passwords."""
    return _PASSWORDS.sub(lambda found: f"{found[1] or found[2]}***", url)


if __name__ == "__main__":
    sys.exit(main())
