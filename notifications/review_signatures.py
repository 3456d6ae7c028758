"""Whether movies has said what is announced of reviews."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import kombu
from nameko.exceptions import MethodNotFound

from broker.events import Envelope, MovieReference, Review, ReviewEvent
from broker.rpc_client import call
from broker.signatures import Signatures
from broker.tally import Tally
from broker.tokens import ReadingAllowance
from notifications.providers import HandOver
from notifications.threads import answered

_log = logging.getLogger(__name__)

ASKING_SECONDS = 2.0
READ_AGAIN_SECONDS = 1.0  # after movies' keys could not be read
# One that has no such method is of the release before, and one of this release may be beside it.
TRIES_OF_BEFORE = 5
TRY_AGAIN_SECONDS = 0.2
OF_BEFORE_SECONDS = 5.0  # for which all are taken to be, when none of the tries found one that is not

OF_BEFORE = object()  # what answers, in place of keys


class ReviewSignatures:
    """By its signature or, while none has ever been seen, by asking it: it may be of the release before.

    Used on the event loop, by one who waits at a time; what blocks is done on a thread.
    """

    def __init__(self, connection: kombu.Connection, hand_over: HandOver) -> None:
        self._connection = connection
        self._hand_over = hand_over
        self._signatures = Signatures()
        self._loaded = False
        self._seen = False  # one that holds
        self._allowance = ReadingAllowance(most=1)
        self._unread = Tally(_log, "%s cannot be read", again_seconds=60)
        self._refusals = 0  # in a row, by movies services that have no keys
        self._of_before_until = 0.0

    async def hold(self, envelope: Envelope) -> bool:
        """Waits for movies' keys until they have been read once, or movies turns out to be of the release
        before, which has none: then it was somebody else who signed, or a movies service that is gone.
        """
        if self._signatures.names_unknown_key(envelope):
            while not self._loaded and not await self._read_keys():
                if self._is_of_before():
                    return False
                await asyncio.sleep(TRY_AGAIN_SECONDS if self._refusals else READ_AGAIN_SECONDS)
            if self._signatures.names_unknown_key(envelope) and self._allowance.take():
                await self._read_keys()
        holds = self._signatures.hold(envelope)
        self._seen = self._seen or holds
        return holds

    def may_be_of_before(self, envelope: Envelope) -> bool:
        """Whether it is unsigned, and nothing has been signed yet."""
        return not envelope.signature and not self._seen

    async def is_so(self, said: ReviewEvent) -> bool:
        """Whether movies says the same of the review and its movie now. What is gone it says nothing of."""
        return bool(await self._on_a_thread(partial(self._compare, said)))

    def _compare(self, said: ReviewEvent) -> bool:
        with self._connection.clone() as opened:
            ask = partial(call, opened, seconds=ASKING_SECONDS)
            review = Review.model_validate(ask("movies.get_review", said.review.id), extra="ignore")
            movie = MovieReference.model_validate(ask("movies.get", review.movie_id), extra="ignore")
        return (review, movie) == (said.review, said.movie)

    def _is_of_before(self) -> bool:
        if self._refusals >= TRIES_OF_BEFORE:
            self._refusals = 0
            self._of_before_until = time.monotonic() + OF_BEFORE_SECONDS
            _log.warning("movies is of the release before: what this one has signed cannot be checked")
        return time.monotonic() < self._of_before_until

    async def _read_keys(self) -> bool:
        if time.monotonic() < self._of_before_until:
            return False
        jwks = await self._on_a_thread(self._ask_for_keys)
        self._refusals = self._refusals + 1 if jwks is OF_BEFORE else 0
        if jwks is OF_BEFORE:
            return False
        try:
            self._signatures.load(jwks)
        except ValueError:
            self._unread.note("movies' keys", "what is announced of reviews cannot be checked")
            return False
        self._loaded = True
        return True

    def _ask_for_keys(self) -> Any:
        with self._connection.clone() as opened:
            try:
                return call(opened, "movies.public_keys", seconds=ASKING_SECONDS)
            except MethodNotFound:
                return OF_BEFORE

    async def _on_a_thread(self, work: Callable[[], Any]) -> Any:
        """What `work` answers; None where it fails."""
        answer = await answered(work, self._hand_over)
        if isinstance(answer, Exception):  # movies or the broker is away, or is of the release before
            _log.debug("movies could not be asked (%s)", type(answer).__name__)
            return None
        return answer
