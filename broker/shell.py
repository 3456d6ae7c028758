"""`make shell`, `python -m broker.shell`, `nameko shell`: Python for operators, the running platform as `n`.

`n.rpc.movies.get(42)` calls a service, `n.dispatch_event("movies", "type", data)` announces an event, and
`n.timeout` is how long a call may take, in seconds. Imports no eventlet of its own.
"""

import argparse
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from broker import config
from broker.config import MEMORY_BROKER, ConfigurationError
from broker.reaching import Broker, OneProcess, Way

ROOT = Path(__file__).parent.parent
BANNER = """Python {python}. The platform: {where}
  n.rpc.movies.get(42)    n.rpc.auth.set_role("alice", "admin")    n.timeout = {timeout:g}
What there is to call: auth/service.py and movies/service.py."""


def main(arguments: list[str] | None = None) -> int:
    """0 at the end of the shell, 1 where its script fails, 2 where a line says that there is no platform."""
    options = _options(arguments)
    try:
        way, settings, raw = _find(options.config, options.broker)
        way.check()
    except ConfigurationError as error:
        return config.refuse(error)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eventlet announces its retirement
        from nameko.cli.shell import ShellRunner

    banner = BANNER.format(python=sys.version.split()[0], where=way.where, timeout=settings.RPC_TIMEOUT)
    shell = ShellRunner(banner, {"n": _module(way, settings.RPC_TIMEOUT, raw)})
    try:
        shell.start_shell(options.interface)
    except Exception:
        return 1  # of a script, and the console has shown it
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="shell", description="A Python shell that reaches every service of the running platform."
    )
    parser.add_argument("--config", type=Path, default=config.path_from_environment(), help="(%(default)s)")
    parser.add_argument("--broker", help="the URL of a RabbitMQ, instead of AMQP_URI")
    parser.add_argument("--interface", choices=("bpython", "ipython", "plain"))
    return parser.parse_args(arguments)


def _find(path: Path, broker: str | None) -> tuple[Way, config.Settings, Mapping[str, Any]]:
    """The way to the platform of a settings file, or of the checkout's where there is none of that name here.

    Raises ConfigurationError.
    """
    if not path.exists() and (ROOT / path).exists():
        path = ROOT / path
    raw = config.read(path)
    settings = config.settings(raw)
    uri = broker or settings.AMQP_URI
    if uri.startswith(MEMORY_BROKER):
        return _one_process(settings, path), settings, raw
    try:
        return Broker(uri, settings.TRANSPORT_OPTIONS), settings, raw
    except Exception as error:
        raise ConfigurationError("setting AMQP_URI: is not a URL of a broker") from error


def _one_process(settings: config.Settings, path: Path) -> Way:
    """Whichever platform runs on DATA_FOLDER, as seen from here or from where the settings are."""
    here = [Path(folder, settings.DATA_FOLDER).absolute() for folder in ("", path.parent)]
    for folder in dict.fromkeys(here):
        way = OneProcess(folder)
        try:
            way.check()
        except ConfigurationError as error:
            if isinstance(error.__cause__, PermissionError):
                raise
        else:
            return way
    raise ConfigurationError(
        f"No platform runs on DATA_FOLDER {here[-1]}: start one with `make run`, or say by "
        "AMQP_URI which RabbitMQ the parts of one are at"
    )


def _module(way: Way, timeout: float, raw: Mapping[str, Any]) -> ModuleType:
    """`n`, with what Nameko's own has."""
    module = ModuleType("nameko", __doc__)
    attributes = {
        "rpc": Services(module, way),
        "dispatch_event": way.dispatch,
        "config": raw,
        "timeout": timeout,
        "disconnect": lambda: None,
    }
    vars(module).update(attributes)
    return module


class Services:
    """All services: `n.rpc.movies`, or `n.rpc["movies"]`."""

    def __init__(self, module: ModuleType, way: Way) -> None:
        self._module, self._way = module, way

    def __getattr__(self, name: str) -> "Service":
        _refuse_private(name)
        return Service(name, self._module, self._way)

    def __getitem__(self, name: str) -> "Service":
        return Service(name, self._module, self._way)


class Service:
    """A service: its methods are attributes."""

    def __init__(self, name: str, module: ModuleType, way: Way) -> None:
        self._name, self._module, self._way = name, module, way

    def __getattr__(self, method: str) -> Any:
        _refuse_private(method)

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return self._way.call(f"{self._name}.{method}", args, kwargs, self._module.timeout)
            except Exception as error:
                # Where it comes from is another process.
                raise error.with_traceback(None) from None

        return call

    def __repr__(self) -> str:
        return f"<the service {self._name}>"


def _refuse_private(name: str) -> None:
    """What looks at objects asks them for more than there is."""
    if name.startswith("_"):
        raise AttributeError(name)


if __name__ == "__main__":
    sys.exit(main())
