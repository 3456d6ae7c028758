"""`pika_queue.py QUEUE`: pika, which leaves the reading of a body to its user."""

import json
import os
import sys

import pika


def hear(channel, method, _properties, body):
    print(json.dumps(json.loads(body)), flush=True)
    channel.basic_ack(method.delivery_tag)


connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URI"]))
channel = connection.channel()
channel.queue_declare(sys.argv[1], auto_delete=True)
for exchange in ("movies.events", "auth.events"):
    channel.queue_bind(sys.argv[1], exchange, "#")
channel.basic_consume(sys.argv[1], hear)
channel.start_consuming()
