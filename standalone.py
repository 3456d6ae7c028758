"""The whole platform in one process: what `make run` starts.

The Nameko services and the notifier share this process; whatever has no URL in the settings is embedded: the
broker in memory, PostgreSQL from a wheel under DATA_FOLDER, the cache in memory.
"""

import os
import warnings

from broker.first_signals import INTERRUPTED, SET_ROLE, STOPPED, leave_without_a_word

# Before anything more is imported: eventlet patches what the others then take, and its hub on top of asyncio
# runs the notifier too.
os.environ["EVENTLET_HUB"] = "broker.hub:Hub"
with warnings.catch_warnings():
    leave_without_a_word()
    warnings.simplefilter("ignore")  # eventlet announces its retirement
    import eventlet

    eventlet.monkey_patch()

import argparse
import gc
import logging
import shlex
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from eventlet.asyncio import spawn_for_awaitable
from eventlet.event import Event

from broker import config as configuration
from broker import memory, streams
from broker.config import ConfigurationError, Settings
from broker.doors import files, listening
from broker.interruption import Work

DATABASES = {"AUTH_DATABASE_URL": "auth", "MOVIES_DATABASE_URL": "movies"}
MEMORY_SETTINGS = {"AMQP_URI": "memory://localhost/"}
STOP_SECONDS = 10
RELAY_CONNECTIONS = 5  # that a service keeps to its database beside its pool, at most
PREPARING_TRIES = 3
PREPARING_PAUSE_SECONDS = 2
LOADING_SECONDS = 60  # the sample catalogue, on a slow machine

BANNER = """
The movie review platform is up.
  REST    {gateway}/api/movies
  rooms   {notifier}  (Socket.IO)
  data    {data}
  admin   register an account, then: {python} standalone.py set-role USERNAME admin
  shell   make shell
Ctrl-C stops it.
"""


def main() -> int:
    """0 after a stop that was asked for, 1 where a part died, 2 where it cannot start."""
    streams.secure()
    arguments = _arguments()
    try:
        setting_a_role = arguments.command == SET_ROLE
        config = configuration.read(arguments.config, one_process=not setting_a_role)
        settings = configuration.settings(config)
        if setting_a_role:
            role = partial(_set_role, settings, arguments.username, arguments.role)
            return Work(lambda _: role(), INTERRUPTED).run()
        return Work(partial(_run, config, settings), STOPPED).run()
    except ConfigurationError as error:
        return configuration.refuse(error)
    finally:
        streams.finish()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="standalone.py", description=__doc__)
    parser.add_argument(
        "--config",
        type=Path,
        default=configuration.path_from_environment(),
        help="settings file (config.yaml)",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="start everything (what happens without a command, too)")
    set_role = commands.add_parser(SET_ROLE, help="make a user a moderator or an admin, or neither")
    set_role.add_argument("username")
    set_role.add_argument("role", choices=("user", "moderator", "admin"))
    return parser.parse_args()


def _run(config: Mapping[str, Any], settings: Settings, work: Work) -> int:
    from broker.embedded_postgres import alone_on

    with ExitStack() as stack:
        stack.enter_context(alone_on(Path(settings.DATA_FOLDER)))
        for name in ("GATEWAY", "NOTIFIER"):
            host, port = getattr(settings, f"{name}_HOST"), getattr(settings, f"{name}_PORT")
            listening.bound(name, host, port).close()
        urls = _database_urls(stack, settings, work)
        embedded = {**config, **urls, files.DOORS: 2, configuration.ONE_PROCESS: True}
        if settings.in_memory:
            memory.select()
            embedded |= MEMORY_SETTINGS
        return _serve(embedded, settings, work)


def _set_role(settings: Settings, username: str, role: str) -> int:
    from auth import handlers
    from broker.database import Transaction, engine
    from broker.errors import PlatformError
    from broker.idempotency import Write
    from broker.outages import is_not_migrated

    with ExitStack() as stack:
        url = _database_urls(stack, settings)["AUTH_DATABASE_URL"]
        try:
            transaction = Transaction(engine(url, 1))
            handlers.set_role(transaction, username, role, Write(transaction.now()))
        except PlatformError as error:
            # The tables come with the first start, and are not there yet.
            none_yet = is_not_migrated(error.__cause__)
            print(
                f"There are no accounts yet: {username} cannot be {role}" if none_yet else error,
                file=sys.stderr,
            )
            return 2
    print(f"{username} is {role} now")
    return 0


def _database_urls(stack: ExitStack, settings: Settings, platform: Work | None = None) -> dict[str, str]:
    """The databases' URLs by their settings; the embedded server is started for those that have none.

    It is the platform's, which ends where it cannot be kept alive; or joined where one runs.
    """
    urls = {setting: str(getattr(settings, setting)) for setting in DATABASES}
    missing = [setting for setting, url in urls.items() if not url]
    if missing:
        if len(missing) == len(DATABASES):
            # libpq's own variables are meant for servers of the user's.
            for name in [name for name in os.environ if name.startswith("PG")]:
                del os.environ[name]
        from broker.embedded_postgres import EmbeddedPostgres

        connections = len(DATABASES) * (settings.DATABASE_POOL_SIZE + RELAY_CONNECTIONS)
        server = stack.enter_context(
            EmbeddedPostgres(Path(settings.DATA_FOLDER), owner=platform is not None, connections=connections)
        )
        if platform is not None:
            stack.callback(eventlet.spawn(_supervise, server, platform).kill)
        for setting in missing:
            urls[setting] = server.ensure_database(DATABASES[setting])
    return urls


def _supervise(server: Any, platform: Work) -> None:
    from broker.embedded_postgres import Lost

    try:
        server.supervise()
    except Lost as error:
        print(error, file=sys.stderr, flush=True)
        platform.end(1)


def _serve(config: dict[str, Any], settings: Settings, work: Work) -> int:
    """Migrate, load the sample into an empty catalogue, run every part until the work is ended."""
    configuration.set_up_logging(config)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    _try_to_prepare(config)

    with ExitStack() as parts:
        _start_parts(config, parts, work)
        # What the start has made stays for good. With it a full collection stopped everything for 130 and
        # 146 ms in two runs of 180 reviews; without it, for at most 11 ms in two more.
        gc.collect()
        gc.freeze()
        streams.say(
            BANNER.format(
                gateway=listening.url(settings.GATEWAY_HOST, settings.GATEWAY_PORT),
                notifier=listening.url(settings.NOTIFIER_HOST, settings.NOTIFIER_PORT, "ws"),
                data=Path(settings.DATA_FOLDER).resolve(),
                python=shlex.quote(os.path.relpath(sys.executable)),
            )
        )
        return int(Event().wait())  # for good: the work is ended from outside


def _try_to_prepare(config: Mapping[str, Any]) -> None:
    """Again where the database went away meanwhile: it is started again, and nothing was half done."""
    from sqlalchemy import exc

    from broker.errors import ServiceUnavailable

    for left in reversed(range(PREPARING_TRIES)):
        try:
            _prepare_databases(config)
            return
        except (exc.OperationalError, exc.InterfaceError, ServiceUnavailable) as error:
            if not left:
                cause = error if isinstance(error, exc.DBAPIError) else error.__cause__
                said = " ".join(str(getattr(cause, "orig", None) or error).split())
                raise ConfigurationError(f"the databases cannot be made ready: {said}") from error
            eventlet.sleep(PREPARING_PAUSE_SECONDS)


def _prepare_databases(config: Mapping[str, Any]) -> None:
    from alembic import command
    from alembic.config import Config

    from broker.database import Transaction, engine
    from movies import sample

    root = Path(__file__).parent
    for setting, name in DATABASES.items():
        alembic = Config(root / "alembic.ini", ini_section=name)
        alembic.attributes |= {
            "url": config[setting],
            "patience": configuration.settings(config).MIGRATION_PATIENCE,
        }
        command.upgrade(alembic, "head")
    movies = engine(config["MOVIES_DATABASE_URL"], 1)
    transaction = Transaction(movies, LOADING_SECONDS)
    sample.load(transaction, transaction.now())
    movies.dispose()


def _start_parts(config: Mapping[str, Any], parts: ExitStack, work: Work) -> None:
    """Start every part, and the relays once all who listen to events are there; `parts` stops them."""
    from nameko.runners import ServiceRunner

    from auth.service import AuthService
    from broker.relay import GATE
    from broker.way_in import WayIn
    from gateway.service import GatewayService
    from movies.service import MoviesService
    from notifications.service import Notifier

    class Operators:
        name = "operators"
        way_in = WayIn((AuthService.name, MoviesService.name))

    drain_seconds = configuration.settings(config).DRAIN_SECONDS
    gate: Event = Event()
    config = {**config, GATE: gate}

    def watch(runner: ServiceRunner) -> None:
        try:
            runner.wait()
        except Exception:
            logging.getLogger("standalone").exception("a service died")
            work.end(1)

    def start(service: type) -> ServiceRunner:
        runner = ServiceRunner(config)
        runner.add_service(service)
        runner.start()
        eventlet.spawn(watch, runner)
        return runner

    def stop(runner: ServiceRunner) -> None:
        if work.in_a_hurry:
            return
        with eventlet.Timeout(STOP_SECONDS + drain_seconds, exception=False):
            runner.stop()

    stops: list[Any] = []  # what stops the parts behind the front door, all at once
    parts.callback(lambda: work.in_a_hurry or [stopping.wait() for stopping in [each() for each in stops]])
    parts.callback(lambda: gate.ready() or gate.send())  # a relay that waits for it cannot stop
    stops.append(partial(eventlet.spawn, stop, start(AuthService)))
    stops.append(partial(eventlet.spawn, stop, start(MoviesService)))
    stops.append(partial(eventlet.spawn, stop, start(Operators)))
    notifier = Notifier(config)
    spawn_for_awaitable(notifier.start()).wait()
    stops.append(lambda: spawn_for_awaitable(notifier.stop()))
    # The front door closes first: what it has in hand needs all the others.
    parts.callback(stop, start(GatewayService))
    parts.callback(notifier.leave)
    gate.send()


if __name__ == "__main__":
    sys.exit(main())
