"""The clients that are connected here, on the event loop: found by socket, by user and by room."""

from collections.abc import Callable, Iterable

from broker.tokens import Identity
from notifications import domain
from notifications.domain import Attendance, Refusal
from notifications.handlers import Client


class Clients:
    """Filled when a client connects, emptied when it is gone; nothing here looks through all of them but
    `signed_in`.

    `sids_in(room)` gives the sockets in a room: Socket.IO keeps those already. `named(identity)` has the name
    that the user has by now.
    """

    def __init__(
        self,
        sids_in: Callable[[str], Iterable[str]],
        most_of_user: int,
        named: Callable[[Identity], Identity] = lambda identity: identity,
    ) -> None:
        self._sids_in = sids_in
        self._named = named
        self._most_of_user = most_of_user
        self._clients: dict[str, Client] = {}
        self._users: dict[int, dict[str, Client]] = {}  # the signed-in ones again, by their user

    def add(self, client: Client) -> None:
        """Raises Refusal where its user has as many connections already as one may have."""
        if client.identity is not None:
            of_user = self._users.get(client.identity.user_id, {})
            if len(of_user) >= self._most_of_user:
                raise Refusal(
                    f"You have {self._most_of_user} connections here already, as many as one user may have",
                    "too_many_connections",
                )
            self._users.setdefault(client.identity.user_id, of_user)[client.sid] = client
        self._clients[client.sid] = client

    def remove(self, sid: str) -> None:
        """One that is not there may be removed, too."""
        client = self._clients.pop(sid, None)
        if client is not None and client.identity is not None:
            of_user = self._users[client.identity.user_id]
            del of_user[sid]
            if not of_user:
                del self._users[client.identity.user_id]

    def of(self, sid: str) -> Client | None:
        return self._clients.get(sid)

    def of_user(self, user_id: int) -> list[Client]:
        return list(self._users.get(user_id, {}).values())

    def signed_in(self) -> list[Client]:
        """Every client with a token."""
        return [client for of_user in self._users.values() for client in of_user.values()]

    def in_room(self, room: str) -> Attendance:
        """Who is in `room` here."""
        clients = [client for sid in self._sids_in(room) if (client := self._clients.get(sid)) is not None]
        names = (self._named(client.identity).username for client in clients if client.identity is not None)
        return domain.attendance(len(clients), names)
