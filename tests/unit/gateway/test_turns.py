from __future__ import annotations

import eventlet
import pytest

from broker.errors import ServiceUnavailable, TooManyRequests
from gateway.turns import Turns


def test_one_clients_work_comes_one_after_the_other_and_others_do_not_wait_for_it() -> None:
    turns, order = Turns(3, 1.0), []

    def work(client: str, name: str, goes_on: eventlet.Event) -> None:
        with turns.of(client):
            order.append(name)
            goes_on.wait()

    first, second, other = (eventlet.Event() for _ in range(3))
    working = [
        eventlet.spawn(work, "greedy", "first", first),
        eventlet.spawn(work, "greedy", "second", second),
        eventlet.spawn(work, "other", "other", other),
    ]
    eventlet.sleep()
    assert order == ["first", "other"]
    other.send()
    first.send()
    working[0].wait()
    eventlet.sleep()
    assert order == ["first", "other", "second"]
    second.send()
    for each in working:
        each.wait()
    assert len(turns) == 0


def test_a_full_line_is_refused_at_once_and_a_long_wait_in_the_end() -> None:
    turns, goes_on = Turns(2, 0.05), eventlet.Event()

    def work() -> None:
        with turns.of("greedy"):
            goes_on.wait()

    def wait() -> None:
        with pytest.raises(ServiceUnavailable), turns.of("greedy"):
            pass

    working, waiting = eventlet.spawn(work), eventlet.spawn(wait)
    eventlet.sleep()
    with pytest.raises(TooManyRequests), turns.of("greedy"):
        pass
    waiting.wait()
    goes_on.send()
    working.wait()
    assert len(turns) == 0


def test_work_that_fails_leaves_the_turn_to_the_next() -> None:
    turns = Turns(1, 0.05)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), turns.of("greedy"):
            raise ZeroDivisionError
    assert len(turns) == 0
