"""The clients that are connected here, on the event loop: found by socket and by user."""

from notifications.domain import Refusal
from notifications.handlers import Client


class Clients:
    """Filled when a client connects, emptied when it is gone; nothing here looks through all of them but
    `signed_in`.
    """

    def __init__(self, most_of_user: int) -> None:
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
