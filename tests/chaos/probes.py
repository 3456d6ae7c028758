"""Whether each way through the broker works: asked again and again after something was done to it."""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import requests
import socketio

from broker.errors import PlatformError
from tests.chaos.world import World
from tests.clients import Account, Listener, sign_in

PATIENCE_SECONDS = 60.0
TRY_SECONDS = 1.0  # that a probe waits for what it looks for before it tries again
LOOK_SECONDS = 0.05
ROOM = "genre:what the probes say"
GAP = "a sign-out in the gap is known"


@dataclass
class Probes:
    """What is asked for, each by people of its own. Each answers the seconds until it works; None: never."""

    world: World
    author: Account  # renamed; has written the review `review`
    review: int
    leaver: Account  # signs in and out
    talker: Account  # says something in a room

    def run(self, since: float) -> dict[str, float | None]:
        """By name, how long after `since` (time.monotonic()) each works, all at once."""
        probes: dict[str, Callable[[], bool]] = {
            "dead letters are listed": self.lists_dead_letters,
            "a new name is on old reviews": self.renames,
            "a sign-out holds at the other gateway": self.signs_out,
            "rooms hear across notifiers": self.talks,
            GAP: self.signed_out_in_the_gap,
        }
        with ThreadPoolExecutor(len(probes)) as pool:
            pending = {name: pool.submit(self.until, probe, since) for name, probe in probes.items()}
            return {name: each.result() for name, each in pending.items()}

    @staticmethod
    def until(probe: Callable[[], bool], since: float) -> float | None:
        while time.monotonic() < since + PATIENCE_SECONDS:
            try:
                if probe():
                    return time.monotonic() - since
            except (
                AssertionError,
                KeyError,  # of an answer that is none
                PlatformError,
                requests.RequestException,
                queue.Empty,
                socketio.exceptions.SocketIOError,
            ):
                time.sleep(LOOK_SECONDS)
        return None

    def lists_dead_letters(self) -> bool:
        return self.world.stage.deployment.rpc("movies.dead_letters") == []

    def renames(self) -> bool:
        """One new name, however long it takes to arrive: what is announced now may not be lost."""
        name = f"renamed-{uuid.uuid4().hex[:12]}"
        changed = within(PATIENCE_SECONDS, lambda: self.author.change(username=name).status_code == 200)
        return changed and within(PATIENCE_SECONDS, lambda: self._signature() == name)

    def _signature(self) -> str:
        return str(self.author.api.get(f"/api/reviews/{self.review}").json().get("username"))

    def signs_out(self) -> bool:
        """Whether a sign-out at one gateway is known at the other before that could have read it."""
        guest = self._signed_out()
        return within(TRY_SECONDS, lambda: is_refused(guest, self.world.stage.gateways[-1]))

    def signed_out_in_the_gap(self) -> bool:
        """One sign-out at once, and whether every gateway comes to know of it."""
        guest = self._signed_out()
        gateways = self.world.stage.gateways
        return within(PATIENCE_SECONDS, lambda: all(is_refused(guest, each) for each in gateways))

    def _signed_out(self) -> Account:
        guest = sign_in(self.world.stage.gateways[0], self.leaver.email)
        assert guest.api.post("/api/auth/logout").status_code == 200
        return guest

    def talks(self) -> bool:
        first, last = self.world.stage.deployment.notifiers[0], self.world.stage.deployment.notifiers[-1]
        with Listener(first, self.talker.token) as talker, Listener(last) as hearer:
            for each, user in ((talker, self.talker.id), (hearer, "guest")):
                assert "error" not in each.call("join_notification", user_id=user, room_id=ROOM)
            said = uuid.uuid4().hex
            talker.call("message", user_id=self.talker.id, room_id=ROOM, message=said)
            deadline = time.monotonic() + TRY_SECONDS
            while (left := deadline - time.monotonic()) > 0:
                if said in str(hearer.heard["message"].get(timeout=left)):
                    return True
        return False


def is_refused(account: Account, gateway: str) -> bool:
    """Whether a gateway refuses its token, which it looks at by itself before it asks anybody."""
    token = {"Authorization": f"Bearer {account.token}"}
    path = f"{gateway}/api/movies/cache/clear"
    return requests.delete(path, headers=token, timeout=5).status_code == 401


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(LOOK_SECONDS)
    return False
