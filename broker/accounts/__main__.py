"""`python -m broker.accounts`: accounts on RabbitMQ, for the services and for integrators.

Without a way to the broker a command prints definitions, for `rabbitmqctl import_definitions` or the
management page; with `--rabbitmqctl` or `--management` it has the broker take them in. A password is shown
once, on standard error, and never kept: the definitions hold its salted hash.
"""

import argparse
import json
import os
import shlex
import sys
from urllib.parse import urlsplit

from broker.accounts import definitions, permissions, ways
from broker.accounts.definitions import Definitions

DEFAULT_PORT = 5672


def main() -> int:
    """The exit status: 0, or 2 where it was not done, with one line of why."""
    options = _parser().parse_args()
    try:
        way = _way(options)
        if options.command == "permissions":
            print(json.dumps(definitions.permissions(permissions.services()), indent=2))
        elif options.command == "services":
            _services(way)
        elif options.command == "add":
            _add(way, options.name)
        elif way is None:
            raise ways.WayFailed(f"{options.command} asks the broker: say --rabbitmqctl or --management URL")
        elif options.command == "list":
            print(*ways.integrators(way), sep="\n")
        else:
            queues = ways.remove(way, permissions.check_name(options.name))
            print(f"{options.name} is gone, and so are {len(queues)} queues of its own")
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


def _add(way: ways.Way | None, name: str) -> None:
    account, password = permissions.integrator(name), definitions.new_password()
    again = way is not None and ways.is_there(way, name)
    _hand_in(way, definitions.of_integrator(account, password))
    said = "has a new password" if again else "reads both event exchanges, and owns"
    _tell(f"{name} {said}{'' if again else f' the queues {name}.…'}\nAMQP_URI={_uri(name, password)}")


def _services(way: ways.Way | None) -> None:
    accounts = permissions.services()
    passwords = {each.name: definitions.new_password() for each in accounts}
    _hand_in(way, definitions.of_services(passwords, accounts))
    for name, password in passwords.items():
        _tell(f"{name}: AMQP_URI={_uri(name, password)}")


def _hand_in(way: ways.Way | None, made: Definitions) -> None:
    if way is None:
        print(json.dumps(made, indent=2))
    else:
        way.apply(made)


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _uri(name: str, password: str) -> str:
    """Where AMQP_URI is, or on this machine."""
    broker = urlsplit(os.environ.get("AMQP_URI", ""))
    return f"amqp://{name}:{password}@{broker.hostname or 'localhost'}:{broker.port or DEFAULT_PORT}//"


if __name__ == "__main__":
    sys.exit(main())
