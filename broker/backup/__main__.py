"""`python -m broker.backup`; the signals come first, since what is imported takes a while."""

import sys

from broker import first_signals  # noqa: F401
from broker.backup import command_line

if __name__ == "__main__":
    sys.exit(command_line.main())
