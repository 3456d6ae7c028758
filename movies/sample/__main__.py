"""`python -m movies.sample`: loads the sample catalogue where there are no movies yet."""

import argparse
import sys
from pathlib import Path

from broker import config
from broker.database import Transaction, engine
from broker.errors import PlatformError
from movies.sample import load


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m movies.sample", description=__doc__)
    parser.add_argument("--config", type=Path, default=config.path_from_environment(), help="settings file")
    try:
        url = config.settings(config.read(parser.parse_args().config)).MOVIES_DATABASE_URL
        if not url:
            raise config.ConfigurationError(
                "setting MOVIES_DATABASE_URL is empty: there is no database to fill"
            )
        transaction = Transaction(engine(url, pool_size=1))
        count = load(transaction, transaction.now())
    except config.ConfigurationError as error:
        return config.refuse(error)
    except PlatformError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{count} films loaded" if count else "there are movies already: nothing loaded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
