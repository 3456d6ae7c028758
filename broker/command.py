"""The `nameko` command as `make setup` leaves it in .venv: its shell is `broker.shell`, all else is Nameko's.

Imports nothing before it must: `nameko run` patches what others import.
"""

import sys
from typing import Any


def nameko() -> Any:
    if sys.argv[1:2] == ["shell"]:
        from broker import shell

        return shell.main(sys.argv[2:])
    from nameko.cli.main import main

    return main()
