from __future__ import annotations

import asyncio

import pytest

from broker.errors import ServiceUnavailable
from gateway.places import Places


def test_of_one_client_so_many_are_worked_on_and_others_do_not_wait_for_the_rest() -> None:
    async def scenario() -> None:
        places, at_work, goes_on = Places(2), [], asyncio.Event()
        until = asyncio.get_running_loop().time() + 5

        async def work(client: str, name: str) -> None:
            await places.enter(client, until)
            at_work.append(name)
            await goes_on.wait()
            places.leave(client)

        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(work("greedy", f"greedy {number}"))
            group.create_task(work("other", "other"))
            await asyncio.sleep(0)
            assert at_work == ["greedy 0", "greedy 1", "other"]
            goes_on.set()
        assert at_work == ["greedy 0", "greedy 1", "other", "greedy 2", "greedy 3"]
        assert len(places) == 0

    asyncio.run(scenario())


def test_one_that_waits_for_too_long_is_refused_and_takes_no_place() -> None:
    async def scenario() -> None:
        places = Places(1)
        now = asyncio.get_running_loop().time()
        await places.enter("greedy", now + 5)
        with pytest.raises(ServiceUnavailable):
            await places.enter("greedy", now + 0.02)
        waiting = asyncio.create_task(places.enter("greedy", now + 5))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        places.leave("greedy")
        assert len(places) == 0
        await places.enter("greedy", now)
        assert len(places) == 1

    asyncio.run(scenario())
