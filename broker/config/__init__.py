"""The settings: `config.yaml` with the environment put in, all of it checked at once, typed."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from broker.config import model
from broker.config.faults import ConfigurationError
from broker.config.kinds import MEMORY_BROKER, MOST_SECRET_BYTES
from broker.config.logs import set_up_logging
from broker.config.model import Settings, settings
from broker.config.source import Source, parse

__all__ = [
    "MEMORY_BROKER",
    "MOST_SECRET_BYTES",
    "ONE_PROCESS",
    "ConfigurationError",
    "Settings",
    "check",
    "check_service",
    "of_a_part",
    "path_from_environment",
    "read",
    "refuse",
    "set_up_logging",
    "settings",
]

# Where a configuration holds this, all parts of the platform are in this process: `make run` says so.
ONE_PROCESS = "ONE_PROCESS"
# What is right for it alone: how such a setting is, what a part on its own needs instead, and what comes with
# `make run`.
_POSTGRESQL = ("empty", "a PostgreSQL URL", "the embedded one comes")
_FOR_ONE_PROCESS = {
    "AMQP_URI": ("memory://", "a RabbitMQ URL", "the embedded broker comes"),
    "AUTH_DATABASE_URL": _POSTGRESQL,
    "MOVIES_DATABASE_URL": _POSTGRESQL,
}
_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 (compared with, not listened on)


def read(
    path: Path | None, *needed: str, one_process: bool = False, broker: str | None = None
) -> dict[str, Any]:
    """What the settings file, if any, and the environment say: each setting that is given, in its one form.

    `needed` are those that only `make run` can do without; `one_process` is that; `broker` is AMQP_URI where
    nothing says what it is. A line on standard error for what is no fault and hardly meant. Raises
    ConfigurationError with a line for each fault.
    """
    source = parse(path)
    if broker is not None:
        source.values.setdefault("AMQP_URI", broker)
    config = check(source, *needed, one_process=one_process)
    for line in source.notices:
        print(line, file=sys.stderr)
    return config


def check(source: Source, *needed: str, one_process: bool = False) -> dict[str, Any]:
    """`read`, of what is parsed already."""
    lines = list(source.faults)
    try:
        typed = Settings.model_validate(source.values)
    except ValidationError as error:
        faults = list(model.faults(error))
        lines += [fault.line(*source.where(fault.name)) for fault in faults]
        # What is wrong is not missing as well.
        wrong = {key for fault in faults for key in (fault.name, model.path(fault.name)[0])}
        needed = tuple(name for name in needed if name not in wrong)
        typed = Settings.model_validate(
            {key: value for key, value in source.values.items() if key not in wrong}
        )
    lines += _missing(typed, needed)
    if one_process and (line := _one_port(typed)):
        lines.append(line)
    if lines:
        raise ConfigurationError(*lines)
    return _in_one_form(source.values, typed)


def _in_one_form(values: Mapping[str, Any], typed: Settings) -> dict[str, Any]:
    config = {**values, **{name: getattr(typed, name) for name in model.NAMES if name in values}}
    if config.get("LOGGING"):
        root = {**config["LOGGING"].get("root", {}), "level": typed.LOG_LEVEL}
        config["LOGGING"] = {**config["LOGGING"], "root": root}
    return config


def _missing(typed: Settings, needed: tuple[str, ...]) -> list[str]:
    lines = []
    for name in needed:
        if not getattr(typed, name) or (name == "AMQP_URI" and typed.in_memory):
            like, needs, comes = _FOR_ONE_PROCESS[name]
            lines.append(
                f"setting {name} is {like}: a part in a process of its own needs {needs} "
                f"({comes} with `make run`)"
            )
    return lines


def _one_port(typed: Settings) -> str | None:
    hosts = {typed.GATEWAY_HOST, typed.NOTIFIER_HOST}
    if typed.GATEWAY_PORT != typed.NOTIFIER_PORT or (len(hosts) > 1 and not hosts.intersection(_ANYWHERE)):
        return None
    return (
        f"settings GATEWAY_PORT, NOTIFIER_PORT: both are {typed.GATEWAY_PORT}; each door needs one of its own"
    )


def of_a_part(config: Mapping[str, Any], *needed: str) -> Settings:
    """The settings of a part of the platform that needs those.

    Raises ConfigurationError where one is what only `make run` can do with, and this is another deployment.
    """
    typed = settings(config)
    if not config.get(ONE_PROCESS) and (lines := _missing(typed, needed)):
        raise ConfigurationError(*lines)
    return typed


def check_service(container: Any, *needed: str) -> None:
    """`of_a_part` for what binds to a service's container, before anything of the service starts.

    Nameko has a traceback for whatever is raised then; so the process ends here, with a line for each fault.
    """
    try:
        of_a_part(container.config, *needed)
    except ConfigurationError as error:
        raise SystemExit(refuse(error, container.service_name)) from None


def refuse(error: ConfigurationError, name: str = "") -> int:
    """Say each fault in a line on standard error, `name` before it; the exit code that is due."""
    for line in error.lines:
        print(f"{name}: {line}" if name else line, file=sys.stderr)
    return 2


def path_from_environment() -> Path:
    """Which settings file a process without a `--config` of its own reads: `$CONFIG` or `config.yaml`."""
    return Path(os.environ.get("CONFIG", "config.yaml"))
