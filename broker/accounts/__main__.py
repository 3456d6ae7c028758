"""`python -m broker.accounts`: accounts on RabbitMQ, for the services and for integrators.

Without a way to the broker a command prints definitions, for `rabbitmqctl import_definitions` or the
management page; with `--rabbitmqctl` or `--management` it has the broker take them in. A password is shown
once, on standard error, and never kept: the definitions hold its salted hash.
"""

import argparse
import json
import shlex
import sys
from urllib.parse import urlsplit

from broker import config
from broker.accounts import definitions, permissions, ways
from broker.accounts.definitions import Definitions

PORTS = {"amqp": 5672, "amqps": 5671}


def main() -> int:
    """The exit status: 0, or 2 where it was not done, with one line of why."""
    options = _parser().parse_args()
    try:
        settings = config.settings(config.read(config.path_from_environment()))
        way = _way(options)
        if options.command == "permissions":
            print(json.dumps(definitions.permissions(permissions.services()), indent=2))
        elif options.command == "services":
            _services(way, settings.AMQP_URI)
        elif options.command == "add":
            _add(way, options.name, settings.AMQP_URI)
        elif way is None:
            raise ways.WayFailed(f"{options.command} asks the broker: say --rabbitmqctl or --management URL")
        elif options.command == "list":
            print(*ways.integrators(way), sep="\n")
        else:
            queues = ways.remove(way, permissions.check_name(options.name))
            print(f"{options.name} is gone, and so are {len(queues)} queues of its own")
    except config.ConfigurationError as error:
        return config.refuse(error, "broker.accounts")
    except (permissions.BadName, ways.WayFailed) as error:
        print(f"broker.accounts: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m broker.accounts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    broker = argparse.ArgumentParser(add_help=False)
    either = broker.add_mutually_exclusive_group()
    either.add_argument(
        "--rabbitmqctl",
        metavar="COMMAND",
        nargs="?",
        const="rabbitmqctl",
        help="by RabbitMQ's own command, or by this one: 'docker compose exec -T rabbitmq rabbitmqctl'",
    )
    either.add_argument(
        "--management",
        metavar="URL",
        help="by the management API: http://ADMINISTRATOR:PASSWORD@localhost:15672",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add = commands.add_parser(
        "add", parents=[broker], help="an integrator's account, or a new password for it"
    )
    add.add_argument("name", help="its name, which its queues begin with: digest owns digest.films")
    commands.add_parser("list", parents=[broker], help="the integrators' accounts")
    remove = commands.add_parser("remove", parents=[broker], help="an integrator's account, and its queues")
    remove.add_argument("name")
    commands.add_parser("services", parents=[broker], help="the services' accounts, with new passwords")
    commands.add_parser("permissions", parents=[broker], help="print broker/permissions.json")
    return parser


def _way(options: argparse.Namespace) -> ways.Way | None:
    if options.rabbitmqctl:
        return ways.Rabbitmqctl(shlex.split(options.rabbitmqctl))
    return ways.Management(options.management) if options.management else None


def _add(way: ways.Way | None, name: str, broker: str) -> None:
    account, password = permissions.integrator(name), definitions.new_password()
    again = way is not None and ways.is_there(way, name)
    _hand_in(way, definitions.of_integrator(account, password))
    said = "has a new password" if again else "reads both event exchanges, and owns"
    _tell(f"{name} {said}{'' if again else f' the queues {name}.…'}\nAMQP_URI={_uri(broker, name, password)}")


def _services(way: ways.Way | None, broker: str) -> None:
    accounts = permissions.services()
    passwords = {each.name: definitions.new_password() for each in accounts}
    _hand_in(way, definitions.of_services(passwords, accounts))
    for name, password in passwords.items():
        _tell(f"{name}: AMQP_URI={_uri(broker, name, password)}")


def _hand_in(way: ways.Way | None, made: Definitions) -> None:
    if way is None:
        print(json.dumps(made, indent=2))
    else:
        way.apply(made)


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _uri(broker: str, name: str, password: str) -> str:
    """An account's, where the first of AMQP_URI is, or on this machine."""
    parts = urlsplit(broker.partition(";")[0])
    host = parts.hostname or "localhost"
    host = f"[{host}]" if ":" in host else host
    scheme = "amqps" if parts.scheme == "amqps" else "amqp"
    return f"{scheme}://{name}:{password}@{host}:{parts.port or PORTS[scheme]}//"


if __name__ == "__main__":
    sys.exit(main())
