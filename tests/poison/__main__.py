"""`python -m tests.poison`: poison for every queue and exchange that a service reads, and what became of it.

Prints a table. `make test` sends the same once.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.platforms import FullDeployment, running
from tests.poison.world import World, a_listener_hears_a_review, targets
from tests.servers import PrivateServers


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.poison", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often all of it (%(default)d)")
    rounds = parser.parse_args().rounds
    print("| published to | cases | RabbitMQ refused | dead letters | answered | p99 of REST meanwhile, ms |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    total = 0
    with tempfile.TemporaryDirectory() as folder, PrivateServers() as servers:
        deployment = FullDeployment(servers.urls, Path(folder), movies=2, notifiers=2)
        with running(deployment):
            world = World(deployment)
            for target in [target for _ in range(rounds) for target in targets()]:
                outcome = world.poison(target)
                total += len(outcome.sent)
                if target.letters is not None:
                    world.empty(f"dead-letters.{target.letters}")
                print(
                    f"| `{target.name}` | {len(outcome.sent)} | {len(outcome.refused)} | {outcome.letters} "
                    f"| {outcome.answered} | {outcome.milliseconds_p99:.1f} |",
                    flush=True,
                )
            assert a_listener_hears_a_review(world)
            world.close()
    print(f"{total} cases in all")


if __name__ == "__main__":
    main()
