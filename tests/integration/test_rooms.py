"""Rooms that span two notifiers."""

from __future__ import annotations

from tests.clients import Listener, sign_up
from tests.platforms import FullDeployment


def test_what_is_said_at_one_notifier_is_heard_once_at_the_other(full_deployment: FullDeployment) -> None:
    here, there = full_deployment.notifiers
    user = sign_up(full_deployment.gateways[0])
    room = f"user:{user.id}"
    who = {"user_id": user.id, "room_id": room}
    with Listener(here, user.token) as speaker, Listener(there) as hearer:
        hearer.call("join_notification", user_id="guest", room_id=room)
        speaker.call("join_notification", **who)
        speaker.call("message", **who, message="first")
        speaker.call("new_review", **who, review_title="A rumour")
        speaker.call("message", **who, message="last")
        for listener in (speaker, hearer):
            heard = [listener.next("message")["message"] for _ in range(3)]
            assert heard == [f"User {user.id} has joined the room {room}", "first", "last"]
            assert listener.next("new_review")["verified"] is False
            assert listener.heard["message"].empty()
