"""Replies on their way to those who called.

RabbitMQ answers a reply to a direct reply-to that it never made by closing the connection. So the first reply
to each such address goes over a connection of its own, and is confirmed there; only to an address that the
broker has taken one for do replies go over the link, where all else goes. What breaks that other connection
is not tried again.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import eventlet
from amqp.exceptions import InternalError
from cachetools import LRUCache
from eventlet.queue import Empty, Full, LightQueue
from nameko.extensions import SharedExtension

from broker import config
from broker.link import BROKER_ERRORS, JSON_PROPERTIES, Link
from broker.rpc_client import RPC_EXCHANGE, TRANSIENT, open_connection
from broker.tally import Tally

_log = logging.getLogger(__name__)

# https://www.rabbitmq.com/docs/direct-reply-to
DIRECT_REPLY_TO = "amq.rabbitmq.reply-to"
DEFAULT_EXCHANGE = ""
_TOKEN = re.compile(re.escape(DIRECT_REPLY_TO) + r"\.[A-Za-z0-9+/=._~-]+")
BROKER_SECONDS = 2.0
IDLE_SECONDS = 5.0  # without first replies, until their connection is closed
MOST_WAITING = 1000
MOST_ADDRESSES = 10_000  # as many as callers have channels


@dataclass(frozen=True, slots=True)
class Reply:
    body: bytes
    address: str
    properties: dict[str, Any]


class Replies(SharedExtension):
    """Sends the replies of a service."""

    link = Link()

    def __init__(self) -> None:
        super().__init__()
        self._proven: LRUCache[str, bool] = LRUCache(MOST_ADDRESSES)
        self._broken: LRUCache[str, bool] = LRUCache(MOST_ADDRESSES)
        self._first: LightQueue = LightQueue(MOST_WAITING)
        self._lost = Tally(_log, "a reply to a call of %s is dropped")

    def setup(self) -> None:
        self._settings = config.settings(self.container.config)

    def start(self) -> None:
        if self.link.speaks_amqp:
            self.container.spawn_managed_thread(self._run, identifier="first replies")

    def send(self, body: bytes, address: str, correlation_id: str | None) -> None:
        """Send a reply to `address`; returns at once. Raises LinkDown."""
        properties: dict[str, Any] = {"delivery_mode": TRANSIENT}
        if correlation_id is not None:
            properties["correlation_id"] = correlation_id
        if not address.startswith(DIRECT_REPLY_TO):
            self.link.publish(body, RPC_EXCHANGE.name, address, **properties)
        elif address in self._proven:
            self.link.publish(body, DEFAULT_EXCHANGE, address, **properties)
        elif address in self._broken or _TOKEN.fullmatch(address) is None:
            self._drop("its address is none")
        else:
            try:
                self._first.put_nowait(Reply(body, address, properties))
            except Full:
                self._drop("too many addresses are to be tried")

    def _drop(self, why: BaseException | str) -> None:
        self._lost.note(self.container.service_name, why)

    def _run(self) -> None:
        while True:
            try:
                self._send_first(self._first.get())
            except Exception as error:  # whatever it is, there are other replies
                _log.error("a first reply could not be sent", exc_info=error)

    def _send_first(self, reply: Reply | None) -> None:
        """Send replies until none have come for a while, or one breaks the connection."""
        try:
            with self._channel() as channel:
                while reply is not None:
                    self._prove(channel, reply)
                    reply = self._next()
        except (*BROKER_ERRORS, _Elapsed) as error:
            if isinstance(error, InternalError) and reply is not None:
                self._broken[reply.address] = True
            self._drop(type(error).__name__)

    def _prove(self, channel: Any, reply: Reply) -> None:
        confirmed: list[int] = []
        channel.events["basic_ack"] = {lambda tag, _: confirmed.append(tag)}
        message = channel.prepare_message(reply.body, properties=reply.properties, **JSON_PROPERTIES)
        with eventlet.Timeout(BROKER_SECONDS, _Elapsed):
            channel.basic_publish(message, exchange=DEFAULT_EXCHANGE, routing_key=reply.address)
            while not confirmed:
                channel.connection.drain_events(timeout=BROKER_SECONDS)
        self._proven[reply.address] = True

    def _next(self) -> Reply | None:
        try:
            return self._first.get(timeout=IDLE_SECONDS)
        except Empty:
            return None

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        with open_connection(self._settings.AMQP_URI, self._settings.TRANSPORT_OPTIONS) as connection:
            with eventlet.Timeout(BROKER_SECONDS, _Elapsed):
                connection.ensure_connection(max_retries=0)
                channel = connection.channel()
                channel.confirm_select()
            yield channel


class _Elapsed(Exception):
    """The broker does not answer."""
