"""Who is in a room, over several notifiers, and right again soon after one of them has gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients import Account, Listener, sign_up
from tests.integration.notifiers import another_notifier
from tests.platforms import FullDeployment
from tests.processes import wait_until

START_SECONDS = 10
CRASH_SECONDS = 10  # until the counts are right again
STOP_SECONDS = 3  # less than what a crash would take to be noticed


@pytest.fixture
def user(full_deployment: FullDeployment) -> Account:
    return sign_up(full_deployment.gateways[0])


@pytest.fixture
def listeners(full_deployment: FullDeployment, user: Account) -> Iterator[list[Listener]]:
    """One in the user's room at each notifier, the first of them the user."""
    here, there = full_deployment.notifiers
    with Listener(here, user.token) as first, Listener(there) as second:
        for listener in (first, second):
            listener.call("join_notification", user_id=user.id, room_id=f"user:{user.id}")
        yield [first, second]


def expect(listeners: list[Listener], user: Account, count: int, seconds: float) -> None:
    """Return once each of them is told of `count` listeners, of whom the user is one."""
    room = f"user:{user.id}"
    expected: dict[str, Any] = {
        "room_id": room,
        "listeners": count,
        "users": [user.username],
        "complete": True,
    }
    for listener in listeners:
        wait_until(
            lambda listener=listener: listener.call("room_presence", room_id=room) == expected,
            seconds,
            f"the answer is {expected}",
        )


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_who_was_at_a_notifier_that_ends_is_counted_no_more(
    full_deployment: FullDeployment, user: Account, listeners: list[Listener], end: str
) -> None:
    with another_notifier(full_deployment) as (process, url):
        with Listener(url) as third, Listener(url, user.token) as fourth:
            for listener in (third, fourth):
                listener.call("join_notification", user_id=user.id, room_id=f"user:{user.id}")
            expect(listeners, user, 4, START_SECONDS)
            if end == "killed":
                process.end()
            else:
                process.terminate()
                assert process.wait() == 0
        expect(listeners, user, 2, CRASH_SECONDS if end == "killed" else STOP_SECONDS)
