"""A short form for the tests: a few of each kind, for as long as a few reviews take."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.bench.hostile import garbage
from tests.bench.hostile.storm import Outcome, Plan, Storm
from tests.bench.listeners import title
from tests.bench.reviews import Posting, Reviews
from tests.clients import Listener, sign_up

STALLED = 2
FLOODING = 5
RATE = 10.0  # reviews a second


@dataclass(frozen=True)
class Result:
    """`heard`: by each healthy listener, how often it heard each review's number, of those `posted`."""

    posted: list[int]
    heard: list[Counter[int]]
    hostile: dict[str, Outcome]


def run(gateway: str, notifier: str, *, reviews: int = 20, healthy: int = 5) -> Result:
    """Healthy listeners in a fresh movie's room, and one hostile client for each kind of garbage beside them.

    One more review is posted in the end: what a listener has not heard before that one is missing.
    """
    port = urlsplit(notifier).port
    assert port
    written = Reviews(gateway, reviews + 1)
    room = str(written.movies[0])
    culprit = sign_up(gateway)
    plan = Plan(
        port=port,
        room=room,
        flooded_room="genre:flooded",
        user_id=culprit.id,
        token=culprit.token,
        stalled=STALLED,
        flooding=FLOODING,
        malformed=len(garbage.KINDS),
    )
    with ExitStack() as stack:
        listeners = [stack.enter_context(Listener(notifier)) for _ in range(healthy)]
        for listener in listeners:
            listener.call("join_notification", user_id="healthy", room_id=room)
        with Storm(plan) as storm:
            with Posting(written, range(reviews), RATE) as posting:
                posting.join()
            outcomes = storm.finish()
        written.post(reviews)
        heard = [_until(listener, title(reviews)) for listener in listeners]
    assert not written.refused, written.refused
    return Result(sorted(set(written.posted) - {reviews}), heard, outcomes)


def _until(listener: Listener, marker: str) -> Counter[int]:
    """How often each number was heard before the marker. queue.Empty where the marker does not come."""
    heard: Counter[int] = Counter()
    while (said := listener.next("new_review")["review"]["title"]) != marker:
        heard[int(said.rpartition("-")[2])] += 1
    return heard
