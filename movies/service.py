"""Movies' entry points."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from broker import database, dead_letter_methods, history, history_table, outbox
from broker.arguments import checked
from broker.consumer import event_handler
from broker.database import Database
from broker.errors import PlatformError, ServiceUnavailable
from broker.events import Envelope, UserDeleted, UserUpdated, read
from broker.health_file import HealthFile
from broker.history_watch import LOOK_SECONDS, HistoryWatch
from broker.idempotency import Writes
from broker.relay import OutboxRelay
from broker.rpc import rpc
from broker.schema import Schema
from broker.speakers import SpeakerProvider
from broker.timer import timer
from broker.validation import Fields, Id, Key, parse
from movies import commands
from movies.accounts import AccountProvider
from movies.domain import Actor
from movies.handlers import histories, movies, people, reviews
from movies.providers import Cache
from movies.storage.paging import signer

Answer = TypeVar("Answer")
KEYING_SECONDS = 10  # that a film of the release before is not found by its title


class MoviesService(dead_letter_methods.DeadLetterMethods):
    """Films, TV shows and their reviews, over RPC as `movies`.

    `actor` is always who asks: `{"id": int, "username": str, "role": "user" | "moderator" | "admin"}`. The
    caller vouches for it; that there is such an account, and what it may do as staff, auth is asked
    (Unauthenticated where there is none). Ids are whole numbers from 1. Movies and reviews are objects as
    the REST API gives them. A write with an `idempotency_key` is done once for the same key and actor, and
    its answer given again; KeyReused where the arguments are others. Every method may raise Invalid (errors
    by field) and ServiceUnavailable.
    """

    name = "movies"

    transaction = Database("MOVIES_DATABASE_URL", Schema("movies"))
    relay = OutboxRelay("MOVIES_DATABASE_URL", source="movies", signer=signer, schema=Schema("movies"))
    accounts = AccountProvider()
    cache = Cache()
    writes = Writes()
    health_file = HealthFile()
    speaker = SpeakerProvider()
    history = HistoryWatch("movies")

    @rpc
    @checked
    def get(self, movie_id: Id) -> Fields:
        """One movie. Raises NotFound."""
        return movies.get(self.transaction, movie_id)

    @rpc
    @checked
    def list_page(self, parameters: Fields) -> Fields:
        """All movies, the newest id last: `{"data": [movie], "next_cursor": str | None}`.

        `parameters`: `limit` (1 to 1,000; 100), `cursor`.
        """
        return movies.list_page(self.transaction, parse(commands.Page, parameters))

    @rpc
    @checked
    def popular(self, parameters: Fields) -> Fields:
        """What people review now: `{"data": [movie], "cached": bool}`. `parameters`: `limit` (10)."""
        return movies.popular(self.transaction, self.cache, parse(commands.PopularPage, parameters))

    @rpc
    @checked
    def search(self, parameters: Fields) -> Fields:
        """The movies that fit: `{"data": [movie], "next_cursor": str | None, "cached": bool}`.

        `parameters`: any of `title, genre, director, q, kind, min_rating, max_rating, year_from, year_to,
        sort, limit, cursor`; see `commands.Search`.
        """
        return movies.search(self.transaction, self.cache, parse(commands.Search, parameters))

    @rpc
    @checked
    def suggest(self, parameters: Fields) -> list[Fields]:
        """The movies, ten at most, that a title may become as it is typed, the likeliest first.

        `{"id", "title", "year" (or None), "kind"}` each. `parameters`: `q`.
        """
        return movies.suggest(self.transaction, self.cache, parse(commands.Suggest, parameters))

    @rpc
    @checked
    def create(self, fields: Fields, actor: commands.ActorFields, idempotency_key: Key | None = None) -> int:
        """Add a movie (`title`, and what else a movie has; `rating` is its prior); answers its id."""
        command = parse(commands.CreateMovie, fields)
        who = self._who(actor)
        write = self.writes.asked(idempotency_key, who.id, fields)
        return self._by_somebody(
            who, lambda known: movies.create(self.transaction, self.cache, command, known, write)
        )

    @rpc
    @checked
    def update(
        self, movie_id: Id, fields: Fields, actor: commands.ActorFields, idempotency_key: Key | None = None
    ) -> None:
        """Change any of a movie's fields. Raises NotFound; Forbidden unless the actor's own, or staff."""
        command = parse(commands.UpdateMovie, fields)
        who = people.confirmed(self.accounts, self._who(actor))
        write = self.writes.asked(idempotency_key, who.id, movie_id, fields)
        self._by_somebody(
            who, lambda known: movies.update(self.transaction, self.cache, movie_id, command, known, write)
        )

    @rpc
    @checked
    def delete(self, movie_id: Id, actor: commands.ActorFields, idempotency_key: Key | None = None) -> None:
        """Delete a movie with its reviews. Raises NotFound, and Forbidden as `update` does."""
        who = people.confirmed(self.accounts, self._who(actor))
        write = self.writes.asked(idempotency_key, who.id, movie_id)
        self._by_somebody(
            who, lambda known: movies.delete(self.transaction, self.cache, movie_id, known, write)
        )

    @rpc
    def clear_cache(self) -> None:
        """Forget every cached page."""
        self.cache.clear()

    @rpc
    @checked
    def create_review(
        self, movie_id: Id, fields: Fields, actor: commands.ActorFields, idempotency_key: Key | None = None
    ) -> int:
        """Review a movie: `{title, rating (1 to 10 in halves), body?, spoiler?}`; answers the review's id.

        Raises NotFound (movie) and Conflict (the actor has reviewed it already).
        """
        command = parse(commands.CreateReview, fields)
        who = self._who(actor)
        write = self.writes.asked(idempotency_key, who.id, movie_id, fields)
        return self._by_somebody(
            who, lambda known: reviews.create(self.transaction, self.cache, movie_id, command, known, write)
        )

    @rpc
    @checked
    def update_review(
        self, review_id: Id, fields: Fields, actor: commands.ActorFields, idempotency_key: Key | None = None
    ) -> None:
        """Change any of a review's fields. Raises NotFound, and Forbidden for another's."""
        command = parse(commands.UpdateReview, fields)
        who = self._who(actor)
        write = self.writes.asked(idempotency_key, who.id, review_id, fields)
        self._by_somebody(
            who, lambda known: reviews.update(self.transaction, self.cache, review_id, command, known, write)
        )

    @rpc
    @checked
    def delete_review(
        self, review_id: Id, actor: commands.ActorFields, idempotency_key: Key | None = None
    ) -> None:
        """Delete a review. Raises NotFound, and Forbidden for another's, unless the actor is staff."""
        who = people.confirmed(self.accounts, self._who(actor))
        write = self.writes.asked(idempotency_key, who.id, review_id)
        self._by_somebody(
            who, lambda known: reviews.delete(self.transaction, self.cache, review_id, known, write)
        )

    @rpc
    @checked
    def get_review(self, review_id: Id) -> Fields:
        """One review. Raises NotFound."""
        return reviews.get(self.transaction, review_id)

    @rpc
    @checked
    def reviews_of_movie(self, movie_id: Id, parameters: Fields) -> Fields:
        """A movie's reviews: `{"data": [review], "next_cursor": str | None}`. Raises NotFound.

        `parameters`: `sort` (newest, highest, lowest or likes), `limit` (100), `cursor`.
        """
        return reviews.of_movie(self.transaction, movie_id, parse(commands.ReviewPage, parameters))

    @rpc
    @checked
    def reviews_of_user(self, user_id: Id, parameters: Fields) -> Fields:
        """A user's reviews, the newest first, in the form of `reviews_of_movie`."""
        return reviews.of_user(self.transaction, user_id, parse(commands.Page, parameters))

    @rpc
    @checked
    def count_reviews_of_user(self, user_id: Id) -> int:
        """How many reviews a user has written."""
        return reviews.count_of_user(self.transaction, user_id)

    @rpc
    @checked
    def ratings(self, movie_id: Id) -> dict[str, int]:
        """How many reviews gave 1 to 10 (half points rounded up), by rating. Raises NotFound."""
        return reviews.ratings(self.transaction, movie_id)

    @rpc
    @checked
    def like(self, review_id: Id, actor: commands.ActorFields, idempotency_key: Key | None = None) -> int:
        """Like a review, once however often; answers its likes. Raises NotFound; Forbidden for one's own."""
        who = self._who(actor)
        write = self.writes.asked(idempotency_key, who.id, review_id)
        return self._by_somebody(
            who, lambda known: reviews.like(self.transaction, review_id, known, write, wanted=True)
        )

    @rpc
    @checked
    def unlike(self, review_id: Id, actor: commands.ActorFields, idempotency_key: Key | None = None) -> int:
        """Take a like back; answers the likes. Raises as `like` does."""
        who = self._who(actor)
        write = self.writes.asked(idempotency_key, who.id, review_id)
        return self._by_somebody(
            who, lambda known: reviews.like(self.transaction, review_id, known, write, wanted=False)
        )

    @rpc
    def public_keys(self) -> list[Fields]:
        """The public keys that verify the signatures of this service's events, as JSON Web Keys, with the
        history that events are of now: `"history": {"number", "id", "began_at" (seconds since 1970),
        "before": [id]}`.
        """
        with self.transaction.reading() as reader:
            now_in = history.said(history_table.current(reader))
            return [{**signer(reader).jwk, "history": now_in}]

    @rpc
    def status(self) -> dict[str, str]:
        """`{"status": "OK", "database": "Connected"}`, or `ERROR`, `Not connected` and `error`: why it cannot
        serve, as of some moments ago.
        """
        return self.history.status(database.status(self.transaction))

    @rpc
    def outbox(self) -> dict[str, Any]:
        """What waits to be announced: `{"waiting": int, "oldest_seconds": float | None}`."""
        with self.transaction() as session:
            return outbox.backlog(session, self.transaction.now())

    @event_handler("auth", "user_updated")
    def handle_user_updated(self, event: Envelope) -> None:
        people.follow(self.transaction, self.accounts, read(event, UserUpdated).user.id)

    @event_handler("auth", "user_deleted")
    def handle_user_deleted(self, event: Envelope) -> None:
        people.forget(self.transaction, self.accounts, read(event, UserDeleted).user.id)

    @timer(interval=LOOK_SECONDS, eager=True)
    def look_at_histories(self) -> None:
        self.history.look(self.transaction)
        histories.follow(self.transaction, self.accounts, self.history)
        self.cache.in_history(self.history.current)

    @timer(interval=300, eager=True)
    def mend_popularity(self) -> None:
        with suppress(ServiceUnavailable):
            reviews.mend_popularity(self.transaction, self.cache)

    @timer(interval=3600, expected_exceptions=PlatformError)
    def forget_old_keys(self) -> None:
        self.writes.forget_old(self.transaction)

    @timer(interval=KEYING_SECONDS, expected_exceptions=PlatformError)
    def key_films(self) -> None:
        movies.key_films(self.transaction, self.cache)

    def _who(self, actor: commands.ActorFields) -> Actor:
        """Who writes. Raises ServiceUnavailable where the data do not go with auth's."""
        self.history.check()
        return commands.actor(actor, self.speaker)

    def _by_somebody(self, who: Actor, write: Callable[[Actor], Answer]) -> Answer:
        return people.introduced(self.transaction, self.accounts, who, write)
