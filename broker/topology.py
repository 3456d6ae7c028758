"""The queues without which an event must not be published, because their service may not miss any.

A durable queue keeps the events of a service that is down; one that was never made keeps nothing. So
RabbitMQ loads these with `definitions.json`, their service (or the notifier) declares them when it starts,
and the outbox relay declares them before it publishes, all three in the same way.

They are bound to no exchange: the relay puts each event into them by their names (see `broker/outlet.py`), so
that no exchange and no binding can be deleted under it.
"""

from collections.abc import Iterator

from kombu import Queue

# source → event type → the handlers, as `service.method`, that must get every one
REQUIRED: dict[str, dict[str, tuple[str, ...]]] = {
    "auth": {
        "user_updated": ("movies.handle_user_updated",),
        "user_deleted": ("movies.handle_user_deleted",),
    },
}

# Every review's news in one order, which all notifiers read, each at its own place.
REVIEW_STREAM = "notifications.reviews"
REVIEW_SOURCE = "movies"
REVIEW_TYPES = ("review_created", "review_updated", "review_deleted")
REVIEW_STREAM_BYTES = 32 * 2**20  # beyond that the oldest go
_REVIEW_STREAM_ARGUMENTS = {
    "x-queue-type": "stream",
    "x-max-length-bytes": REVIEW_STREAM_BYTES,
    "x-max-age": "7D",
    "x-stream-max-segment-size-bytes": 4 * 2**20,  # the oldest go by the segment
}


def required_queues(source: str, event_type: str) -> list[Queue]:
    """The queues that must have taken such an event before it counts as published, as their readers make
    them; to be bound to a channel and declared.
    """
    handled = [
        handlers_queue(source, event_type, handler)
        for handler in REQUIRED.get(source, {}).get(event_type, ())
    ]
    if source == REVIEW_SOURCE and event_type in REVIEW_TYPES:
        handled.append(review_stream())
    return handled


def is_required(source: str, event_type: str, handler: str) -> bool:
    """Whether the relay puts these events into the handler's queue by itself."""
    return handler in REQUIRED.get(source, {}).get(event_type, ())


def handlers_queue(source: str, event_type: str, handler: str) -> Queue:
    return Queue(queue_name(source, event_type, handler), durable=True)


def queue_name(source: str, event_type: str, handler: str) -> str:
    """Nameko's name for the queue of an event handler."""
    return f"evt-{source}-{event_type}--{handler}"


def review_stream() -> Queue:
    """The stream of reviews. A broker in memory takes it for a queue like any other."""
    return Queue(REVIEW_STREAM, durable=True, queue_arguments=dict(_REVIEW_STREAM_ARGUMENTS))


def all_required_queues(source: str) -> dict[str, Queue]:
    """Of all events of a service, by their names."""
    types = [*REQUIRED.get(source, {}), *(REVIEW_TYPES if source == REVIEW_SOURCE else ())]
    return {queue.name: queue for event_type in types for queue in required_queues(source, event_type)}


def former_bindings(source: str) -> Iterator[tuple[str, str, str]]:
    """Queue, exchange and routing key of what earlier releases bound: with them every event comes twice."""
    types = [*REQUIRED.get(source, {}), *(REVIEW_TYPES if source == REVIEW_SOURCE else ())]
    for event_type in types:
        for queue in required_queues(source, event_type):
            yield queue.name, f"{source}.events", event_type
