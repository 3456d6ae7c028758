"""The greedy client, in a process of its own that tests.bench.greedy starts.

It comes from 127.0.0.2 and gives way on the CPU, since its server has to share the machine with it. It takes
whatever it is answered, and goes on until stdin ends; stdout then has how often it was answered what.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections import Counter

from tests.bench.greedy.deeds import DEEDS, Target

NICE = 10


async def _main() -> None:
    os.nice(NICE)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    plan = json.loads(sys.stdin.readline())
    tally: Counter[str] = Counter()
    print("ready", flush=True)
    tasks = [asyncio.create_task(client) for client in DEEDS[plan["kind"]](Target(**plan["target"]), tally)]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    for each in ended:
        if not isinstance(each, asyncio.CancelledError):
            raise RuntimeError("a greedy client ended by itself") from each
    print(json.dumps(tally))


if __name__ == "__main__":
    asyncio.run(_main())
