"""What one client may do, and how much may wait for it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from broker.config import Settings

BURST_SECONDS = 2.0  # of its rate that a client may have saved up
LONGEST_SECONDS = 60.0  # more than a client may be silent: then it is gone, and takes nothing


@dataclass(frozen=True)
class Limits:
    """The part of the settings that each socket is held to. Rates are in messages a second."""

    message_rate: float
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
        """Take one message's worth; how many seconds that message has to wait."""
        now = self._now()
        self._saved = min(self._saved + (now - self._at) * self._rate, self._most) - 1
        self._at = now
        return max(-self._saved / self._rate, 0.0)


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

    def admits(self, frames: Sequence[bytes]) -> bool:
        """Whether these may be added; if so, they are to be written now."""
        waiting = self._transport.get_write_buffer_size()
        if not waiting:
            self._written += sum(map(len, frames))
            self._ends.clear()
            return True
        for frame in frames:
            self._written += len(frame)
            waiting += len(frame)
            self._ends.append(self._written)
        if waiting > self._limits.queue_bytes:
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

    def is_longer_than(self, packets: int, size: int) -> bool:
        """`size` is in characters, for want of anything encoded yet."""
        return self.qsize() > packets or self._characters > size

    async def until_shorter(self, packets: int) -> None:
        """Return once at most `packets` wait, or after a time in which nothing would come of it any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_SECONDS):
                while self.qsize() > packets:
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
