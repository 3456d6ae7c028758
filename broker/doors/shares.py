"""Who holds how many connections, and how many requests at work, of a front door that takes so many.

A client may hold its share and no more. When the door is full the connection goes that has been idle for the
longest, of the client that holds most. Connections with a request at work are never ended for others.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any


class Shares:
    """`most` connections in all, `most_of_one` of one address, `most_at_work` requests of one client.

    A connection is any object that can be a key. `retire` ends one that is idle.
    """

    def __init__(self, most: int, most_of_one: int, most_at_work: int, retire: Callable[[Any], None]) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._most_at_work = most_at_work
        self._retire = retire
        self._held: dict[Any, str] = {}
        self._idle: dict[str, dict[Any, None]] = {}  # by address, the longest idle first
        self._addresses: Counter[str] = Counter()
        self._at_work: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._held)

    def admits(self, address: str) -> bool:
        """Whether one more connection from `address` may come in; makes room for it where it can."""
        if self._addresses[address] >= self._most_of_one:
            return self._end_idle(address)
        if len(self._held) >= self._most:
            return bool(self._idle) and self._end_idle(max(self._idle, key=self._addresses.__getitem__))
        return True

    def enter(self, connection: Any, address: str) -> None:
        """Count a connection, idle as yet."""
        self._held[connection] = address
        self._addresses[address] += 1
        self.rest(connection)

    def leave(self, connection: Any) -> None:
        """Count it no more. One that is not there may leave, too."""
        address = self._held.pop(connection, None)
        if address is not None:
            self.work(connection, address)
            count_down(self._addresses, address)

    def work(self, connection: Any, address: str | None = None) -> None:
        """From now on it has a request at work."""
        address = self._held.get(connection) if address is None else address
        idle = self._idle.get(address) if address is not None else None
        if idle is not None and connection in idle:
            del idle[connection]
            if not idle:
                del self._idle[address]  # type: ignore[arg-type]

    def rest(self, connection: Any) -> None:
        """From now on it is idle."""
        if (address := self._held.get(connection)) is not None:
            self._idle.setdefault(address, {})[connection] = None

    def begins(self, client: str) -> bool:
        """Whether one more request of `client`, an address, may be worked on; if so it is counted."""
        if self._at_work[client] >= self._most_at_work:
            return False
        self._at_work[client] += 1
        return True

    def ends(self, client: str) -> None:
        """One that began has ended."""
        count_down(self._at_work, client)

    def idle(self) -> list[Any]:
        """Every connection without a request at work."""
        return [connection for idle in self._idle.values() for connection in idle]

    def _end_idle(self, address: str) -> bool:
        idle = self._idle.get(address)
        if not idle:
            return False
        longest = next(iter(idle))
        self.leave(longest)
        self._retire(longest)
        return True


def count_down(counter: Counter[str], key: str) -> None:
    """One less of `key`, which is forgotten with the last: whoever is counted leaves nothing behind."""
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
