"""The `LOGGING` section: what can be wrong in it, before it is set up."""

import logging
import logging.config
from collections.abc import Mapping
from typing import Any

from broker.config.faults import ConfigurationError
from broker.config.kinds import level

_PLAIN = "%(asctime)s %(levelname)-7s %(name)s %(message)s"
_NAMED = ("formatters", "filters", "handlers", "loggers")


def logging_section(section: Any) -> Any:
    """With its levels in capitals, but for the root's, which is LOG_LEVEL.

    Raises ValueError: of another form than `logging.config.dictConfig` takes, or with a name in it of what is
    not there.
    """
    if not section:
        return {}
    if not isinstance(section, Mapping):
        raise ValueError("must be a mapping as logging.config has it")
    if section.get("version") != 1:
        raise ValueError("must have version: 1")
    parts = {name: _mapping(section, name) for name in _NAMED}
    root = _mapping(section, "root")
    for name, handler in parts["handlers"].items():
        _check_names(f"handlers.{name}", [handler.get("formatter")], parts["formatters"])
    for name, logger in {**parts["loggers"], "root": root}.items():
        _check_names(name, logger.get("handlers") or (), parts["handlers"])
    for name in ("handlers", "loggers"):
        parts[name] = {key: _with_level(f"{name}.{key}", each) for key, each in parts[name].items()}
    return {**section, **{name: part for name, part in parts.items() if name in section}}


def _mapping(section: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = section.get(name)
    if part is None:
        return {}
    inner = part.values() if isinstance(part, Mapping) and name != "root" else ()
    if not isinstance(part, Mapping) or not all(isinstance(each, Mapping) for each in inner):
        raise ValueError(f"{name} must be a mapping")
    return dict(part)


def _check_names(of: str, used: Any, there: Mapping[str, Any]) -> None:
    for name in used:
        if name is not None and name not in there:
            raise ValueError(f"{of} names {name!r}, which is not there")


def _with_level(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    if "level" not in part:
        return dict(part)
    try:
        return {**part, "level": level(part["level"])}
    except ValueError as error:
        raise ValueError(f"{name}.level {error}") from None


def set_up_logging(config: Mapping[str, Any]) -> None:
    """As LOGGING says; one line a message on standard error where it says nothing.

    Raises ConfigurationError.
    """
    if not config.get("LOGGING"):
        logging.basicConfig(level=config.get("LOG_LEVEL", logging.INFO), format=_PLAIN)
        return
    try:
        logging.config.dictConfig(dict(config["LOGGING"]))
    except (ValueError, TypeError, AttributeError, ImportError, OSError) as error:
        # `logging` says which part it was, and its cause why.
        why = f" ({error.__cause__})" if error.__cause__ else ""
        raise ConfigurationError(f"setting LOGGING: {error}{why}") from error
