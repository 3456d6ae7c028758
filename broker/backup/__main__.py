"""`python -m broker.backup`; the signals come first, since what is imported takes a while."""

import sys

from broker import first_signals


def main() -> int:
    first_signals.leave_without_a_word()
    from broker.backup import command_line

    return command_line.main()


if __name__ == "__main__":
    sys.exit(main())
