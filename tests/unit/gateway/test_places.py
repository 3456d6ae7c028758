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
            async with places.of(client, until):
                at_work.append(name)
                await goes_on.wait()

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
        places, goes_on = Places(1), asyncio.Event()
        now = asyncio.get_running_loop().time()

        async def work() -> None:
            async with places.of("greedy", now + 5):
                await goes_on.wait()

        working = asyncio.create_task(work())
        await asyncio.sleep(0)
        with pytest.raises(ServiceUnavailable):
            async with places.of("greedy", now + 0.02):
                pass
        goes_on.set()
        await working
        assert len(places) == 0
        async with places.of("greedy", now):
            assert len(places) == 1

    asyncio.run(scenario())


def test_work_that_fails_leaves_its_place() -> None:
    async def scenario() -> None:
        places = Places(1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                async with places.of("greedy", 0.0):
                    raise ZeroDivisionError
        assert len(places) == 0

    asyncio.run(scenario())
