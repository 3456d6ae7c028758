"""RPC between the services, on Nameko's wire format, with a deadline.

`rpc` is the entrypoint of every service and `ServiceRpc` the proxy of every service that calls another.
"""

import uuid
from collections.abc import Callable
from typing import Any

import eventlet
from amqp.exceptions import AMQPError
from kombu.exceptions import OperationalError
from nameko.amqp.publish import UndeliverableMessage
from nameko.constants import NON_PERSISTENT
from nameko.extensions import DependencyProvider
from nameko.rpc import MethodProxy, ReplyListener, Rpc, get_rpc_exchange

from broker import config
from broker.errors import DeadlineExceeded, PlatformError, ServiceUnavailable
from broker.rpc_client import outcome


class RpcEntrypoint(Rpc):
    """Nameko's entrypoint, which also answers over kombu's virtual transports.

    Those leave `content_type` out of the message's properties, where Nameko 2.14.1 looks for it.
    """

    def __init__(self, expected_exceptions: Any = PlatformError, **options: Any) -> None:
        super().__init__(expected_exceptions=expected_exceptions, **options)

    def handle_message(self, body: Any, message: Any) -> None:
        message.properties.setdefault("content_type", message.content_type)
        super().handle_message(body, message)


rpc = RpcEntrypoint.decorator


class DeadlineMethodProxy(MethodProxy):
    """One remote method: `proxy(*args, **kwargs)` is its result within the deadline, or an error."""

    def __init__(self, *args: Any, deadline: float, **options: Any) -> None:
        self.deadline = deadline
        super().__init__(*args, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raises ServiceUnavailable where the call could not be handed over, DeadlineExceeded where no
        answer came in time, and the error that the service raised.
        """
        correlation_id = uuid.uuid4().hex
        reply = self.reply_listener.get_reply_event(correlation_id)
        # A publish to a frozen broker blocks in a place that no timeout reaches, so it has a greenlet of
        # its own and the deadline is on waiting for it.
        publishing = eventlet.spawn(self._publish, {"args": args, "kwargs": kwargs}, correlation_id)
        published = False
        try:
            with eventlet.Timeout(self.deadline, _Elapsed):
                if error := publishing.wait():
                    raise ServiceUnavailable from error
                published = True
                return outcome(reply.wait())
        except _Elapsed as elapsed:
            raise (DeadlineExceeded if published else ServiceUnavailable)() from elapsed
        finally:
            # Nameko drops the slot when the reply comes; without a reply it would stay for ever.
            self.reply_listener._reply_events.pop(correlation_id, None)

    def _publish(self, message: dict[str, Any], correlation_id: str) -> Exception | None:
        """What kept the message from being handed over; None where nothing did."""
        try:
            self.publisher.publish(
                message,
                exchange=get_rpc_exchange(self.container.config),
                routing_key=f"{self.service_name}.{self.method_name}",
                mandatory=True,
                delivery_mode=NON_PERSISTENT,
                expiration=self.deadline,
                reply_to=self.reply_listener.routing_key,
                correlation_id=correlation_id,
                extra_headers=self.get_message_headers(self.worker_ctx),
            )
        except (UndeliverableMessage, AMQPError, OperationalError, OSError) as error:
            # Answered, not raised: eventlet prints what a greenlet raises.
            return error
        return None


class ServiceProxy:
    """A remote service: its methods are attributes."""

    def __init__(self, method: Callable[[str], DeadlineMethodProxy]) -> None:
        self._method = method

    def __getattr__(self, name: str) -> DeadlineMethodProxy:
        return self._method(name)


class ServiceRpc(DependencyProvider):
    """Injects a proxy of the service `target`; a call, and its message, have `RPC_TIMEOUT` seconds."""

    replies = ReplyListener()

    def __init__(self, target: str) -> None:
        self.target = target
        self.deadline = 5.0

    def setup(self) -> None:
        self.deadline = config.settings(self.container.config).RPC_TIMEOUT

    def get_dependency(self, worker_ctx: Any) -> ServiceProxy:
        return ServiceProxy(
            lambda name: DeadlineMethodProxy(
                worker_ctx, self.target, name, self.replies, deadline=self.deadline
            )
        )


class _Elapsed(Exception):
    """The deadline is over."""
