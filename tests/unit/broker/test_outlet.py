from __future__ import annotations

import kombu

from broker.events import exchange
from broker.outlet import Outlet
from broker.topology import required_queues


def test_a_broker_in_memory_takes_all_and_has_the_required_queues() -> None:
    with kombu.Connection("memory://test-outlet") as connection:
        outlet = Outlet(connection, "auth")
        everything = kombu.Queue("everything", exchange("auth"), routing_key="#")(connection.default_channel)
        everything.declare()
        for event in ("user_registered", "user_deleted"):
            outlet.send(event, {"id": event})
        assert outlet.settle() == set()
        outlet.keep_alive()
        heard = [everything.get(no_ack=True).payload["id"] for _ in range(2)]
        (queue,) = required_queues("auth", "user_deleted")
        required = queue(connection.default_channel).get(no_ack=True)
    assert heard == ["user_registered", "user_deleted"]
    assert required.payload == {"id": "user_deleted"}
