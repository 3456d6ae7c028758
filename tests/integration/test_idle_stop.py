"""SIGTERM to a service that has nothing to do."""

from __future__ import annotations

from pathlib import Path

import kombu

from tests.processes import PROGRAMS, Process, wait_until
from tests.servers import RabbitMq

SECONDS = 30
ACCEPTED, CLOSED = "accepting AMQP connection", "closing AMQP connection"  # in RabbitMQ's log
SLEEPER = """
import signal, sys
import eventlet
from broker.signals import wake_for_signals

wake_for_signals()
eventlet.sleep(0)
told = eventlet.event.Event()
signal.signal(signal.SIGTERM, lambda *_: eventlet.spawn_n(told.send))
print("waits", flush=True)
with eventlet.Timeout(600):
    told.wait()
"""


def test_a_signal_wakes_a_hub_that_waits(tmp_path: Path) -> None:
    sleeper = Process("sleeper", [PROGRAMS / "python", "-c", SLEEPER], {}, tmp_path)
    try:
        wait_until(lambda: "waits" in sleeper.tail(), SECONDS, "it waits")
        sleeper.terminate()
        assert sleeper.wait(SECONDS) == 0, sleeper.tail()
    finally:
        sleeper.end()


def test_a_service_that_closes_its_link_opens_no_other(tmp_path: Path) -> None:
    command = [PROGRAMS / "nameko", "run", "--config", "config.yaml", "tests.integration.services:Fragile"]
    with RabbitMq() as rabbitmq, kombu.Connection(rabbitmq.url) as connection:
        connection.connect()
        wait_until(lambda: said(rabbitmq, "granted access") == 1, SECONDS, "ours is in the log")
        before = said(rabbitmq, ACCEPTED)
        service = Process("fragile", command, {"AMQP_URI": rabbitmq.url}, tmp_path)
        try:
            wait_until(lambda: consumers(connection) == 1, SECONDS, "it consumes")
            assert service.stop() == 0, service.tail()
        finally:
            service.end()
        left = 1  # ours
        wait_until(lambda: said(rabbitmq, ACCEPTED) - said(rabbitmq, CLOSED) == left, SECONDS, "its end, too")
        assert said(rabbitmq, ACCEPTED) == before + 1


def consumers(connection: kombu.Connection) -> int:
    with connection.channel() as channel:
        try:
            return int(kombu.Queue("rpc-fragile", channel=channel).queue_declare(passive=True).consumer_count)
        except connection.channel_errors:
            return 0


def said(rabbitmq: RabbitMq, words: str) -> int:
    return (rabbitmq.folder / "log").read_text().count(words)
