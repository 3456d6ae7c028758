"""What one client may do, and how much may wait for it."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, Self

import cachetools

from broker.config import Settings

MOST_SHARES = 20_000
BURST_SECONDS = 2.0  # of its rate that a client may have saved up
TOO_MUCH = "it sends too much"
MOST_WAIT_SECONDS = 10.0  # of messages for their turn; the socket of one more is closed
LONGEST_SECONDS = 60.0  # more than a client may be silent: then it is gone, and takes nothing


@dataclass(frozen=True)
class Limits:
    """The part of the settings that each socket is held to. Rates are in messages a second."""

    message_rate: float
    address_rate: float
    share_bytes: int
    frame_bytes: int
    queue_packets: int
    queue_bytes: int
    connect_seconds: float
    address_connections: int
    proxies: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            message_rate=settings.NOTIFIER_MESSAGE_RATE,
            address_rate=settings.NOTIFIER_ADDRESS_RATE,
            share_bytes=settings.NOTIFIER_SHARE_BYTES,
            frame_bytes=settings.NOTIFIER_FRAME_BYTES,
            queue_packets=settings.NOTIFIER_QUEUE_PACKETS,
            queue_bytes=settings.NOTIFIER_QUEUE_BYTES,
            connect_seconds=settings.NOTIFIER_CONNECT_TIMEOUT,
            address_connections=settings.NOTIFIER_ADDRESS_CONNECTIONS,
            proxies=settings.proxies,
        )


class Pace:
    """A token bucket: `rate` messages a second, and a few at once by who has been silent for a while.

    https://en.wikipedia.org/wiki/Token_bucket
    """

    def __init__(self, rate: float, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._most = max(rate * BURST_SECONDS, 1.0)
        self._saved = self._most
        self._now = now
        self._at = now()

    @property
    def is_exceeded(self) -> bool:
        """Whether the last message had to wait."""
        return self._saved < 0

    def take(self) -> float:
        """Take one message's worth; how many seconds that message has to wait.

        Infinitely long where those before it wait for MOST_WAIT_SECONDS already. It takes nothing then:
        sockets that come, ask and go do not keep waiting whoever comes after them.
        """
        now = self._now()
        saved = min(self._saved + (now - self._at) * self._rate, self._most)
        self._at = now
        if -saved > MOST_WAIT_SECONDS * self._rate:
            self._saved = saved
            return math.inf
        self._saved = saved - 1
        return max(-self._saved / self._rate, 0.0)


class Waiting(Protocol):
    """What lies somewhere for one socket."""

    @property
    def waiting(self) -> int:
        """How much that is, in bytes or characters."""


class Share:
    """What all sockets of one user together may send, and leave unread; or of one address without a token."""

    def __init__(self, rate: float, most_bytes: int) -> None:
        self.pace = Pace(rate)
        self._most_bytes = most_bytes
        self._waiting: dict[Waiting, int] = {}
        self._bytes = 0

    def admits(self, pile: Waiting, waiting: int) -> bool:
        """Whether so many bytes may wait for one of its sockets."""
        self._bytes += waiting - self._waiting.get(pile, 0)
        self._waiting[pile] = waiting
        if self._bytes > self._most_bytes:
            # Some have been taken since they were counted.
            others = {each: each.waiting for each in self._waiting if each is not pile}
            self._waiting = {each: size for each, size in others.items() if size} | {pile: waiting}
            self._bytes = sum(self._waiting.values())
        return self._bytes <= self._most_bytes

    def forget(self, pile: Waiting) -> None:
        """Nothing waits for that socket any more."""
        self._bytes -= self._waiting.pop(pile, 0)


class Shares:
    """The shares by whose they are. Those of people who left are kept for a while: nobody gets a new one by
    connecting again.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._shares: cachetools.LRUCache[tuple[str, object], Share] = cachetools.LRUCache(MOST_SHARES)

    def of_user(self, user_id: int) -> Share:
        return self._of(("user", user_id), self._limits.message_rate)

    def of_address(self, address: str) -> Share:
        return self._of(("address", address), self._limits.address_rate)

    def _of(self, whose: tuple[str, object], rate: float) -> Share:
        share = self._shares.get(whose)
        if share is None:
            share = self._shares[whose] = Share(rate, self._limits.share_bytes)
        return share


class Backlog:
    """How many frames lie in a transport's write buffer.

    The transport knows bytes alone. So of each frame that found the buffer occupied it is noted where it ends
    in the stream; what of the stream is no longer in the buffer has gone to the kernel.
    """

    def __init__(self, transport: asyncio.WriteTransport, limits: Limits) -> None:
        self._transport = transport
        self._limits = limits
        self._written = 0
        self._ends: deque[int] = deque()

    @property
    def waiting(self) -> int:
        """How many bytes lie there."""
        return int(self._transport.get_write_buffer_size())

    def admits(self, frames: Sequence[bytes], share: Share) -> bool:
        """Whether these may be added; if so, they are to be written now. `share`: the client's."""
        waiting = self.waiting
        if not waiting:
            self._written += sum(map(len, frames))
            if self._ends:
                self._ends.clear()
                share.forget(self)
            return True
        for frame in frames:
            self._written += len(frame)
            waiting += len(frame)
            self._ends.append(self._written)
        if waiting > self._limits.queue_bytes or not share.admits(self, waiting):
            return False
        return len(self._ends) <= self._limits.queue_packets or self._recounted(waiting)

    def _recounted(self, waiting: int) -> bool:
        gone = self._written - waiting
        while self._ends and self._ends[0] <= gone:
            self._ends.popleft()
        return len(self._ends) <= self._limits.queue_packets


class Outbox(asyncio.Queue[Any]):
    """The packets that the library has yet to send to one client."""

    def __init__(self) -> None:
        super().__init__()
        # All that was ever put here has been sent, and whoever sends it waits for more.
        self.is_sent = False
        self._characters = 0
        self._shorter = asyncio.Event()

    @property
    def waiting(self) -> int:
        """In characters."""
        return self._characters

    def is_longer_than(self, packets: int, size: int) -> bool:
        """`size` is in characters, for want of anything encoded yet."""
        return self.qsize() > packets or self._characters > size

    async def until_shorter(self, packets: int, size: int) -> None:
        """Return once at most `packets` of `size` characters together wait, or after a time in which nothing
        would come of it any more.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_SECONDS):
                while self.is_longer_than(packets, size):
                    self._shorter.clear()
                    await self._shorter.wait()

    async def get(self) -> Any:
        self.is_sent = self.empty()
        return await super().get()

    def _put(self, item: Any) -> None:
        self.is_sent = False
        self._characters += _length(item)
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self._characters -= _length(item)
        self._shorter.set()
        return item


def _length(packet: Any) -> int:
    data = getattr(packet, "data", None)
    return len(data) if isinstance(data, str | bytes) else 0
