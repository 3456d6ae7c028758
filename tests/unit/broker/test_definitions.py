from __future__ import annotations

import json
from pathlib import Path

from broker import topology
from broker.consumer import EventHandler
from broker.events import ReviewCreated, ReviewDeleted, ReviewUpdated
from broker.upkeep import bindings
from movies.service import MoviesService
from notifications.domain import REVIEW_EVENTS

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
    assert {queue["name"] for queue in DEFINITIONS["queues"]} == queues | {topology.REVIEW_STREAM}
    assert all(topology.is_required(source, event, f"movies.{name}") for source, event, name in handlers)


def test_the_relay_requires_the_queues_that_rabbitmq_knows() -> None:
    required = [(source, event) for source, events in topology.REQUIRED.items() for event in events]
    required += [(topology.REVIEW_SOURCE, event) for event in topology.REVIEW_TYPES]
    queues = {
        queue.name: queue for source, event in required for queue in topology.required_queues(source, event)
    }
    assert {
        name: (queue.durable, queue.auto_delete, queue.queue_arguments or {})
        for name, queue in queues.items()
    } == {
        each["name"]: (each["durable"], each["auto_delete"], each["arguments"])
        for each in DEFINITIONS["queues"]
    }


def test_required_queues_are_bound_to_nothing_that_could_be_deleted() -> None:
    assert DEFINITIONS["bindings"] == []
    for source in (*topology.REQUIRED, topology.REVIEW_SOURCE):
        for queue in topology.all_required_queues(source).values():
            assert list(bindings(queue)) == []


def test_every_review_is_in_the_stream() -> None:
    assert set(topology.REVIEW_TYPES) == set(REVIEW_EVENTS)
    assert {event.source for event in (ReviewCreated, ReviewUpdated, ReviewDeleted)} == {
        topology.REVIEW_SOURCE
    }
