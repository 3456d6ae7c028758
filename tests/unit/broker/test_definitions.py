from __future__ import annotations

import json
from pathlib import Path

from broker import topology
from broker.consumer import EventHandler
from movies.service import MoviesService

DEFINITIONS = json.loads((Path(__file__).parents[3] / "broker" / "definitions.json").read_text())


def test_rabbitmq_knows_the_queue_of_every_handler_before_its_service_first_starts() -> None:
    handlers = {
        (entrypoint.source, entrypoint.event_type, name)
        for name, method in vars(MoviesService).items()
        for entrypoint in getattr(method, "nameko_entrypoints", ())
        if isinstance(entrypoint, EventHandler) and not entrypoint.each_instance
    }
    assert handlers, "there is something to compare"
    queues = {f"evt-{source}-{event}--movies.{name}" for source, event, name in handlers}
    assert {queue["name"] for queue in DEFINITIONS["queues"]} == queues
    bindings = {
        (each["source"], each["routing_key"], each["destination"]) for each in DEFINITIONS["bindings"]
    }
    assert {
        (f"{source}.events", event, f"evt-{source}-{event}--movies.{name}")
        for source, event, name in handlers
    } <= bindings


def test_the_relay_requires_the_queues_that_rabbitmq_knows() -> None:
    queues = [
        queue
        for source, events in topology.REQUIRED.items()
        for event in events
        for queue in topology.required_queues(source, event)
    ]
    assert {
        (queue.name, queue.durable, queue.auto_delete, bool(queue.queue_arguments)) for queue in queues
    } == {
        (each["name"], each["durable"], each["auto_delete"], bool(each["arguments"]))
        for each in DEFINITIONS["queues"]
    }
    assert {(queue.exchange.name, queue.routing_key, queue.name) for queue in queues} == {
        (each["source"], each["routing_key"], each["destination"]) for each in DEFINITIONS["bindings"]
    }
