"""`kombu_queue.py QUEUE`: kombu, with a queue of its own."""

import json
import os
import sys

from kombu import Connection, Exchange, Queue, binding

bindings = [
    binding(Exchange(name, type="topic"), routing_key="#") for name in ("movies.events", "auth.events")
]
queue = Queue(sys.argv[1], bindings=bindings, auto_delete=True)


def hear(event, message):
    print(json.dumps(event), flush=True)
    message.ack()


with Connection(os.environ["AMQP_URI"]) as connection, connection.Consumer(queue, callbacks=[hear]):
    while True:
        connection.drain_events()
