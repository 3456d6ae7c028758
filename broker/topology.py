"""The queues without which an event must not be published, because their service may not miss any.

A durable queue keeps the events of a service that is down; one that was never made keeps nothing. So
RabbitMQ loads these with `definitions.json`, Nameko declares them when the service starts, and the outbox
relay declares them before it publishes, all three in the same way.
"""

from kombu import Queue

from broker.events import exchange

# source → event type → the handlers, as `service.method`, that must get every one
REQUIRED: dict[str, dict[str, tuple[str, ...]]] = {
    "auth": {
        "user_updated": ("movies.handle_user_updated",),
        "user_deleted": ("movies.handle_user_deleted",),
    },
}


def required_queues(source: str, event_type: str) -> list[Queue]:
    """The queues that must be there before such an event is published, as Nameko's `event_handler` makes
    them; to be bound to a channel and declared.
    """
    return [
        Queue(f"evt-{source}-{event_type}--{handler}", exchange(source), routing_key=event_type, durable=True)
        for handler in REQUIRED.get(source, {}).get(event_type, ())
    ]
