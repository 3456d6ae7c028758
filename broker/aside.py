"""Setting messages aside: what a service cannot read, or gives up, is kept as a dead letter."""

import logging
from collections.abc import Sequence

import eventlet
import kombu
from eventlet.queue import Empty, LightQueue
from nameko.extensions import SharedExtension

from broker import config
from broker.clock import utc_now
from broker.dead_letters import DeadLetterQueue
from broker.errors import ServiceUnavailable
from broker.letters import Letter
from broker.link import Link
from broker.tally import Tally

_log = logging.getLogger(__name__)

PAUSE_SECONDS = 2.0  # before a broker that did not keep letters is asked again
IDLE_SECONDS = 1.0  # without letters, until the connection for them is closed
MOST_AT_ONCE = 100


class Aside(SharedExtension):
    """Keeps dead letters, on a connection that is open while there are some: the link is not held up, and not
    lost, by whatever becomes of them.

    A message stays unacknowledged until it is kept. One whose link is lost meanwhile comes again.
    """

    link = Link()

    def __init__(self) -> None:
        super().__init__()
        self._waiting: LightQueue = LightQueue()  # no more than what the broker hands out at once
        self._kept = Tally(_log, "a message of %s is a dead letter", logging.ERROR)
        self._dropped = Tally(_log, "a message of %s is dropped", logging.ERROR)

    def setup(self) -> None:
        self._letters = DeadLetterQueue(self.container.service_name, config.settings(self.container.config))

    def start(self) -> None:
        self.container.spawn_managed_thread(self._run, identifier="dead letters")

    def put(self, message: kombu.Message, queue: str, error: BaseException, attempts: int = 1) -> None:
        """Have a message of `queue` kept, and acknowledged then; returns at once."""
        self._waiting.put(Letter(message, queue, error, attempts, utc_now()))

    def drop(self, message: kombu.Message, queue: str, error: BaseException | str) -> None:
        """Be done with a message that is not worth keeping: it is counted, and acknowledged."""
        self._dropped.note(queue, error)
        self.link.ack(message)

    def _run(self) -> None:
        while True:
            letters = self._next(None)
            while letters:
                try:
                    self._keep(letters)
                except ServiceUnavailable:
                    eventlet.sleep(PAUSE_SECONDS)
                except Exception as error:  # whatever it is, one letter must not keep all others
                    _log.error("dead letters could not be kept", exc_info=error)
                    letters = self._one_by_one(letters)

    def _keep(self, letters: list[Letter]) -> None:
        """Keep letters until none have come for a while. Raises ServiceUnavailable; `letters` then are those
        to be kept yet.
        """
        with self._letters.adding() as add:
            while letters:
                held = [letter for letter in letters if self.link.holds(letter.message)]
                left = add(held)
                self._done([letter for letter in held if letter not in left])
                for letter in left:
                    self.drop(letter.message, letter.queue, "too many are kept already")
                letters[:] = self._next(IDLE_SECONDS)

    def _one_by_one(self, letters: Sequence[Letter]) -> list[Letter]:
        """Keep those that can be kept, and drop the others; which are to be kept yet."""
        left: list[Letter] = []
        for letter in letters:
            try:
                with self._letters.adding() as add:
                    add([letter])
            except ServiceUnavailable:
                left.append(letter)
            except Exception as error:
                self.drop(letter.message, letter.queue, error)
            else:
                self._done([letter])
        return left

    def _done(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            self._kept.note(letter.queue, letter.error)
            self.link.ack(letter.message)

    def _next(self, seconds: float | None) -> list[Letter]:
        """What waits, at least one after a wait of `seconds`, which None makes endless."""
        letters: list[Letter] = []
        try:
            letters.append(self._waiting.get(timeout=seconds))
            while len(letters) < MOST_AT_ONCE:
                letters.append(self._waiting.get_nowait())
        except Empty:
            pass
        return letters
