"""The queues without which an event must not be published, because their service may not miss any.

A durable queue keeps the events of a service that is down; one that was never made keeps nothing. So
RabbitMQ loads these with `definitions.json`, Nameko (or the notifier) declares them when the service starts,
and the outbox relay declares them before it publishes, all three in the same way.
"""

from kombu import Queue, binding

from broker.events import exchange

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
    """The queues that must be there before such an event is published, as their readers make them; to be
    bound to a channel and declared.
    """
    handled = [
        Queue(f"evt-{source}-{event_type}--{handler}", exchange(source), routing_key=event_type, durable=True)
        for handler in REQUIRED.get(source, {}).get(event_type, ())
    ]
    if source == REVIEW_SOURCE and event_type in REVIEW_TYPES:
        handled.append(review_stream())
    return handled


def review_stream() -> Queue:
    """The stream of reviews. A broker in memory takes it for a queue like any other."""
    bindings = [binding(exchange(REVIEW_SOURCE), routing_key=event_type) for event_type in REVIEW_TYPES]
    return Queue(
        REVIEW_STREAM, bindings=bindings, durable=True, queue_arguments=dict(_REVIEW_STREAM_ARGUMENTS)
    )
