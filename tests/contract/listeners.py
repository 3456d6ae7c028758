"""Listeners in rooms."""

from __future__ import annotations

from typing import Any

import socketio

from tests.clients import Listener


class PollingListener(Listener):
    """A stock client that goes by long polling."""

    def __init__(self, url: str, token: str | None = None) -> None:
        super().__init__(url, token, "polling")

    def close(self) -> None:
        if self.client.connected:
            # An event whose answer ends the poll at hand: the client waits for that, and it could take 30 s.
            self.client.emit("leave_notification", {}, callback=lambda _: None)
        http = self.client.eio.http
        super().close()
        http.close()


TRANSPORTS: dict[str, type[Listener]] = {"websocket": Listener, "polling": PollingListener}


def listen(notifier: str, *rooms: str, transport: str = "websocket") -> Listener:
    """Someone without a token, in `rooms`."""
    listener = TRANSPORTS[transport](notifier)
    for room in rooms:
        answer = listener.call("join_notification", user_id="visitor", room_id=room)
        assert answer["message"] == f"User visitor has joined the room {room}"
    return listener


def join(listener: Listener, user: object, room: object, last: object = None) -> Any:
    """The acknowledgement of joining `room` as `user`, who heard `last` before."""
    return listener.call("join_notification", user_id=user, room_id=room, last_event_id=last)


def refusal(notifier: str, auth: object) -> Any:
    """What a client that connects with `auth` is refused with; None where it is let in."""
    told: list[Any] = []
    client = socketio.Client(reconnection=False)
    client.on("connect_error", told.append)
    try:
        client.connect(notifier, auth=auth, transports=["websocket"], wait_timeout=10)
    except socketio.exceptions.ConnectionError:
        return told[-1]
    finally:
        client.disconnect()
        client.eio.ws.shutdown()  # the client leaves that of a refused connection open
    return None
