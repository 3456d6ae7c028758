"""The `nameko` command as `make setup` leaves it in .venv: its shell is `broker.shell`, and what it runs of
the platform's has its settings checked before. All else is Nameko's.

Imports nothing before it must: `nameko run` patches what others import.
"""

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

# The platform's services, and what each of them needs when it is on its own.
NEEDED = {
    "auth": ("AMQP_URI", "AUTH_DATABASE_URL"),
    "movies": ("AMQP_URI", "MOVIES_DATABASE_URL"),
    "gateway": ("AMQP_URI",),
}


def nameko() -> Any:
    if sys.argv[1:2] == ["shell"]:
        from broker import shell

        return shell.main(sys.argv[2:])
    with warnings.catch_warnings():
        # Nameko 2.14.1 asks pkg_resources for its own version; that is why setuptools is held below 81.
        warnings.simplefilter("ignore", UserWarning)
        from nameko.cli import main as stock
    options = stock.setup_parser().parse_known_args()[0]
    parts = [
        part for module in getattr(options, "services", ()) if (part := module.partition(".")[0]) in NEEDED
    ]
    if not parts:
        return stock.main()
    return _run(options, parts)


def _run(options: argparse.Namespace, parts: list[str]) -> int:
    """`nameko run` of the platform's `parts`, and of other services in the same process.

    The exit code: 2 where the settings are wrong, or one of them cannot be had, with a line for each.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eventlet announces its retirement
        import eventlet

        eventlet.monkey_patch()
    # Only now: what pydantic has made of our models cannot be patched afterwards.
    from broker import config

    try:
        needed = dict.fromkeys(name for part in parts for name in NEEDED[part])
        path, broker = (Path(options.config), None) if options.config else (None, options.broker)
        settings = config.read(path, *needed, broker=broker)
        config.set_up_logging(settings)
        if "gateway" in parts:
            _check_port(config.settings(settings))
        _serve(options, settings)
    except config.ConfigurationError as error:
        return config.refuse(error, ", ".join(dict.fromkeys(parts)))
    return 0


def _check_port(settings: Any) -> None:
    """Before anything starts, and has a line in the log."""
    from broker.doors import listening

    listening.bound("GATEWAY", settings.GATEWAY_HOST, settings.GATEWAY_PORT).close()


def _serve(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    from nameko.cli import run
    from nameko.exceptions import CommandError

    if "." not in sys.path:
        sys.path.insert(0, ".")
    try:
        services = [service for module in options.services for service in run.import_service(module)]
    except CommandError as error:
        raise SystemExit(f"nameko run: {error}") from None
    run.run(services, settings, backdoor_port=options.backdoor_port)
