"""What CloudEvents' SDKs know a message by.

The body is the whole envelope and its content type `application/json`, the only one that stock Nameko takes;
so the attributes stand in headers as well, as in the binary content mode, whose data the envelope is. Once as
the AMQP binding names them (AMQP 1.0's application properties are headers to RabbitMQ), once as RabbitMQ's
binding and HTTP's do:
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/amqp-protocol-binding.md
https://github.com/knative-extensions/eventing-rabbitmq/blob/main/cloudevents-protocol-spec/spec.md
"""

from collections.abc import Mapping
from typing import Any

PREFIXES = ("cloudEvents:", "ce-")
# Not `datacontenttype`, which is the message's content type, nor `dataschema`, which is about what is inside
# the envelope.
ATTRIBUTES = ("specversion", "id", "source", "type", "time", "subject")


def headers(envelope: Mapping[str, Any]) -> dict[str, str]:
    """The headers that go with an envelope, all of them texts."""
    return {
        f"{prefix}{name}": str(envelope[name])
        for prefix in PREFIXES
        for name in ATTRIBUTES
        if name in envelope
    }
