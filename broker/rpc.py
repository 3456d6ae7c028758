"""RPC between the services, on Nameko's wire format, with a deadline.

`rpc` is the entrypoint of every service and `ServiceRpc` the proxy of every service that calls another. Both
speak over the service's link. Requests and replies are transient and unconfirmed, because who gets no answer
in time may ask again (writes carry an idempotency key), and replies come by RabbitMQ's direct reply-to, which
needs no queue.
"""

import inspect
import logging
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from itertools import count
from typing import Any

import eventlet
import kombu
import orjson
from eventlet.event import Event
from eventlet.queue import LightQueue
from nameko.constants import CALL_ID_STACK_CONTEXT_KEY
from nameko.exceptions import (
    ContainerBeingKilled,
    IncorrectSignature,
    MethodNotFound,
    UnserializableValueError,
    serialize,
)
from nameko.extensions import DependencyProvider, SharedExtension
from nameko.rpc import Rpc

from broker import config
from broker.aside import Aside
from broker.calls import ANSWER_BY, Call
from broker.decoding import Malformed, object_of
from broker.errors import DeadlineExceeded, PlatformError, ServiceUnavailable
from broker.link import Link, LinkDown, Subscription
from broker.replies import DIRECT_REPLY_TO, Replies
from broker.rpc_client import CALLER, RPC_EXCHANGE, TRANSIENT, outcome
from broker.suspects import Suspects
from broker.tally import Tally

_log = logging.getLogger(__name__)

CALLER_CONTEXT = "caller"  # in a worker's context: what the caller says of itself; None of a release before
MOST_SAID = 200  # characters of what was sent that an error repeats
TOO_BUSY = "There is too much of this to do at the moment; try again soon"


class RpcConsumer(SharedExtension):
    """Takes a service's calls from its queue and answers them; Nameko's, over the link.

    Nothing that a message holds, and no trouble of the broker's, ends the service or its link: a call that
    cannot be read is a dead letter, what cannot be answered is logged.
    """

    link = Link()
    aside = Aside()
    suspects = Suspects()
    replies = Replies()

    def __init__(self) -> None:
        super().__init__()
        self._entrypoints: dict[str, RpcEntrypoint] = {}
        self._subscription: Subscription | None = None
        self._waiting: LightQueue = LightQueue()  # for a worker; as many as the broker hands out at once
        self._heavy: set[kombu.Message] = set()  # the calls of heavy methods that wait or are at work
        self._queue = ""
        self._unanswered = Tally(_log, "a call of %s is not answered")
        self._refused = Tally(_log, "a call of %s is answered 503", again_seconds=60)

    def register_provider(self, entrypoint: "RpcEntrypoint") -> None:
        service = self.container.service_name
        self._entrypoints[f"{service}.{entrypoint.method_name}"] = entrypoint
        if self._subscription is None:
            self._queue = f"rpc-{service}"
            queue = kombu.Queue(self._queue, RPC_EXCHANGE, routing_key=f"{service}.*", durable=True)
            self._subscription = Subscription(
                queue, self._receive, self._set_aside, prefetch=self.container.max_workers
            )
            self.link.subscribe(self._subscription)

    def unregister_provider(self, entrypoint: "RpcEntrypoint") -> None:  # noqa: ARG002
        """The first to stop ends the consuming: the service is stopping."""
        if self._subscription is not None:
            self.link.unsubscribe(self._subscription)
            self._subscription = None

    def requeue_message(self, message: kombu.Message) -> None:
        self.link.requeue(message)

    def start(self) -> None:
        self.container.spawn_managed_thread(self._serve_waiting, identifier="calls that wait")

    def _receive(self, message: kombu.Message) -> None:
        if self._subscription is None:
            self.link.requeue(message)
            return
        call = Call.received(message)
        if self.suspects.is_one(message):
            self.suspects.add(
                message, self._queue, partial(self._admit, call), partial(self._refuse, message)
            )
        else:
            self._admit(call)

    def _admit(self, call: Call) -> None:
        message = call.message
        entrypoint = self._entrypoints.get(message.delivery_info["routing_key"])
        if entrypoint is not None and entrypoint.is_heavy:
            if len(self._heavy) >= max(self.container.max_workers // 2, 1):
                self._refuse(message, ServiceUnavailable(TOO_BUSY))
                return
            self._heavy.add(message)
        if self.container._worker_pool.free() > 0 and self._waiting.empty():
            self._handle(call)
        else:
            # All workers are at work, and waiting for one of them would keep the link from being read.
            self._waiting.put(call)

    def _refuse(self, message: kombu.Message, error: ServiceUnavailable) -> None:
        self.handle_result(message, None, (ServiceUnavailable, error, None))

    def _set_aside(self, message: kombu.Message, error: Exception) -> None:
        self._done(message)
        self.aside.put(message, self._queue, error)

    def _tell_of(self, message: kombu.Message, error: BaseException | None) -> None:
        """What has a cause was told of where that was found."""
        if isinstance(error, ServiceUnavailable) and error.__cause__ is None:
            self._refused.note(message.delivery_info["routing_key"], error.message)

    def _done(self, message: kombu.Message) -> None:
        self._heavy.discard(message)
        self.suspects.end(message)

    def _serve_waiting(self) -> None:
        while True:
            call = self._waiting.get()
            with self.container._worker_pool.sem:
                pass  # a worker is free
            self._handle(call)

    def _handle(self, call: Call) -> None:
        message = call.message
        if call.is_overdue:
            self._done(message)
            self.link.ack(message)
            return
        routing_key = message.delivery_info["routing_key"]
        try:
            entrypoint = self._entrypoints.get(routing_key)
            if entrypoint is None:
                raise MethodNotFound(routing_key.rpartition(".")[2])
            entrypoint.handle_call(call)
        except Exception:
            self.handle_result(message, None, sys.exc_info())

    def handle_result(self, message: kombu.Message, result: Any, exc_info: Any) -> tuple[Any, Any]:
        """Send the reply, if anybody waits for one, and be done with the message."""
        self._done(message)
        error = None if exc_info is None else serialize(exc_info[1])
        self._tell_of(message, None if exc_info is None else exc_info[1])
        try:
            body = orjson.dumps({"result": result, "error": error})
        except TypeError:
            exc_info = sys.exc_info()
            body = orjson.dumps({"result": None, "error": serialize(UnserializableValueError(result))})
        routing_key = message.delivery_info["routing_key"]
        if not (reply_to := message.properties.get("reply_to")):
            self._unanswered.note(routing_key, "it says nowhere to reply to")
        else:
            try:
                self.replies.send(body, reply_to, message.properties.get("correlation_id"))
            except LinkDown:
                _log.warning("the reply to a call of %s could not be sent: the broker is away", routing_key)
        self.link.ack(message)
        return result, exc_info


class RpcEntrypoint(Rpc):
    """Nameko's entrypoint, served by our consumer.

    `heavy`: calls of such methods are at most half of a process's calls, one more is answered
    ServiceUnavailable at once and unread, so that there is always a worker for the others.
    """

    rpc_consumer = RpcConsumer()

    def __init__(
        self, expected_exceptions: Any = PlatformError, *, heavy: bool = False, **options: Any
    ) -> None:
        self.is_heavy = heavy
        super().__init__(expected_exceptions=expected_exceptions, **options)

    @cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.signature(getattr(self.container.service_cls, self.method_name))

    def check_signature(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Nameko's, which works the signature out anew for every call."""
        try:
            self._signature.bind(None, *args, **kwargs)
        except TypeError as error:
            raise IncorrectSignature(str(error)[:MOST_SAID]) from error

    def handle_call(self, call: Call) -> None:
        """Have a worker answer it, with ANSWER_BY and CALLER_CONTEXT in its context."""
        body, message = call.request(), call.message
        args, kwargs = body["args"], body["kwargs"]
        self.check_signature(args, kwargs)
        context = self.unpack_message_headers(message)
        context[ANSWER_BY] = call.answer_by
        context[CALLER_CONTEXT] = message.properties.get("app_id")
        stack = context.get(CALL_ID_STACK_CONTEXT_KEY)
        if not isinstance(stack, list) or not all(isinstance(call_id, str) for call_id in stack):
            context.pop(CALL_ID_STACK_CONTEXT_KEY, None)  # Nameko would join it, and die of what is no list
        try:
            self.container.spawn_worker(
                self,
                args,
                kwargs,
                context_data=context,
                handle_result=partial(self.handle_result, message),
            )
        except ContainerBeingKilled:
            self.rpc_consumer.requeue_message(message)

    def unpack_message_headers(self, message: kombu.Message) -> dict[str, Any]:
        """Nameko's, for headers of anybody's: one whose name is no text is for somebody else."""
        return {
            self._strip_header_name(name): value
            for name, value in message.headers.items()
            if isinstance(name, str)
        }


rpc = RpcEntrypoint.decorator


class RpcClient(SharedExtension):
    """Sends a service's calls and hears the replies."""

    link = Link()

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[str, Event] = {}
        self._numbers = count()
        self._unread = Tally(_log, "%s is dropped")
        self._failed = Tally(_log, "a call of %s had no answer", again_seconds=60)
        self._reply_to = DIRECT_REPLY_TO

    def setup(self) -> None:
        queue = kombu.Queue(DIRECT_REPLY_TO, no_declare=True)
        if not self.link.speaks_amqp:
            self._reply_to = uuid.uuid4().hex
            name = f"rpc.reply-{self._reply_to}"
            queue = kombu.Queue(
                name, RPC_EXCHANGE, routing_key=self._reply_to, exclusive=True, auto_delete=True
            )
        self.link.keep(RPC_EXCHANGE)
        self.link.subscribe(Subscription(queue, self._receive, self._set_aside, no_ack=True))
        self.link.watch(lost=self._lost, returned=self._returned)

    def call(
        self, method: str, args: Any, kwargs: Any, seconds: float, headers: Mapping[str, Any] | None = None
    ) -> Any:
        """The result of `method` (`"movies.get"`) within `seconds`, which are the message's expiry too.

        Raises ServiceUnavailable where the call could not be handed over or the link was lost meanwhile,
        DeadlineExceeded where no answer came in time, and the error that the service raised.
        """
        correlation_id = str(next(self._numbers))
        unknown_expiry = {} if self.link.speaks_amqp else {ANSWER_BY: time.monotonic() + seconds}
        reply = self._waiting[correlation_id] = Event()
        try:
            self.link.publish(
                orjson.dumps({"args": args, "kwargs": kwargs}),
                RPC_EXCHANGE.name,
                method,
                mandatory=True,
                app_id=CALLER,
                delivery_mode=TRANSIENT,
                expiration=str(max(int(seconds * 1000), 1)),
                reply_to=self._reply_to,
                correlation_id=correlation_id,
                headers=dict(headers or {}),
                **unknown_expiry,
            )
            with eventlet.Timeout(seconds, _Elapsed):
                return outcome(reply.wait())
        except LinkDown as error:
            if str(error):  # otherwise the link has said so
                self._failed.note(method, error)
            raise ServiceUnavailable from error
        except _Elapsed as error:
            self._failed.note(method, f"none came in {seconds:.1f} s")
            raise DeadlineExceeded from error
        finally:
            self._waiting.pop(correlation_id, None)

    def _receive(self, message: kombu.Message) -> None:
        reply = self._waiting.pop(message.properties.get("correlation_id"), None)
        if reply is None:
            return  # its caller has waited long enough
        try:
            reply.send(object_of(message.body))
        except Malformed as error:
            reply.send_exception(ServiceUnavailable())
            self._set_aside(message, error)

    def _set_aside(self, _message: kombu.Message, error: Exception) -> None:
        # Acknowledged when they were sent, and of no use to anybody else.
        self._unread.note("a reply", error)

    def _lost(self) -> None:
        """The replies went with the link; whether the calls were heard nobody knows."""
        waiting, self._waiting = self._waiting, {}
        for reply in waiting.values():
            reply.send_exception(LinkDown("the link to the broker was lost meanwhile"))

    def _returned(self, properties: Mapping[str, Any]) -> None:
        """No service has ever made the queue that this call was for, or it is not bound any more."""
        self.link.look_again()
        reply = self._waiting.pop(str(properties.get("correlation_id")), None)
        if reply is not None:
            reply.send_exception(LinkDown("no service has a queue for it at the broker"))


class ServiceProxy:
    """A remote service: its methods are attributes, `movies.get(42)`. `speaks_for` are its calls' headers."""

    def __init__(self, call: Callable[[str, Any, Any, Mapping[str, Any]], Any]) -> None:
        self._call = call
        self.speaks_for: Mapping[str, Any] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: self._call(name, args, kwargs, self.speaks_for)


class ServiceRpc(DependencyProvider):
    """Injects a proxy of the service `target`.

    A call has `RPC_TIMEOUT` seconds, and no more than its worker has left: see ANSWER_BY.
    """

    client = RpcClient()

    def __init__(self, target: str) -> None:
        self.target = target
        self.deadline = 5.0

    def setup(self) -> None:
        self.deadline = config.settings(self.container.config).RPC_TIMEOUT

    def get_dependency(self, worker_ctx: Any) -> ServiceProxy:
        answer_by = worker_ctx.data.get(ANSWER_BY)

        def call(name: str, args: Any, kwargs: Any, headers: Mapping[str, Any]) -> Any:
            seconds = self.deadline
            if answer_by is not None:
                seconds = min(seconds, answer_by - time.monotonic())
            if seconds <= 0:
                raise DeadlineExceeded
            return self.client.call(f"{self.target}.{name}", args, kwargs, seconds, headers)

        return ServiceProxy(call)


class _Elapsed(Exception):
    """The deadline is over."""
