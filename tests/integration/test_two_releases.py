"""The release before, and this one beside it in the order that docs/operations.md gives. In all mixtures:
`python -m tests.releases`.
"""

from __future__ import annotations

from pathlib import Path

from tests.platforms import wait_until_ready
from tests.processes import wait_until
from tests.releases import TwoReleases
from tests.releases.walk import Walks
from tests.servers import ServerUrls

SECONDS = 60
TWO_OF_EACH = {"auths": 2, "movies": 2, "notifiers": 2, "gateways": 2}
OLD = ("auth-0", "movies-0", "notifications-0", "gateway-0")
BEFORE_AUTH = ("movies-1", "notifications-1", "gateway-1")
LAST = "auth-1"


def test_an_upgrade_in_the_documented_order_fails_no_request(apart: ServerUrls, tmp_path: Path) -> None:
    two = TwoReleases(apart, tmp_path, OLD, TWO_OF_EACH)
    old_doors, new_doors = zip(two.gateways, two.notifiers, strict=True)
    walks = Walks()
    try:
        two.migrate_as_before()
        for part in OLD:
            two.start_part(part)
        wait_until_ready([old_doors[0]], [old_doors[1]], two.processes)
        two.migrate()
        walks.walk(*old_doors)
        for part in BEFORE_AUTH:
            two.start_part(part)
        wait_until_ready([new_doors[0]], [new_doors[1]], two.processes)
        for doors in (old_doors, new_doors, (old_doors[0], new_doors[1]), (new_doors[0], old_doors[1])):
            walks.walk(*doors)
        assert not walks.failures
        # Too early: whoever reads auth's keys now and is of the release before refuses what they sign.
        two.start_part(LAST)
        log = two.process(LAST).log
        wait_until(
            lambda: "start gateways and notifiers of this release first" in log.read_text(),
            SECONDS,
            "it says so",
        )
        for part in OLD:
            two.process(part).terminate()
        for part in OLD:
            assert two.process(part).wait() == 0
        wait_until_ready([new_doors[0]], [new_doors[1]], two.processes[-4:])
        walks.walk(*new_doors)
    finally:
        two.stop()
    assert (walks.walks, walks.failures) == (6, {})
