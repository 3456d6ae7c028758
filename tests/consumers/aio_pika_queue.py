"""`aio_pika_queue.py QUEUE`: aio-pika."""

import asyncio
import json
import os
import sys

import aio_pika


async def main() -> None:
    connection = await aio_pika.connect_robust(os.environ["AMQP_URI"])
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(sys.argv[1], auto_delete=True)
        for exchange in ("movies.events", "auth.events"):
            await queue.bind(exchange, "#")
        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process():
                    print(json.dumps(json.loads(message.body)), flush=True)


asyncio.run(main())
