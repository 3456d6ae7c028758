"""Judges what is there by what was asked for and acknowledged. Pure functions; the words are those of the
checkers that RabbitMQ is tested with:

- lost: acknowledged, and not there;
- duplicated: there more often than asked for;
- unexpected: there, and nobody asked for it;
- recovered: there although the first attempt was not acknowledged. Nobody is to complain of that.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.history import Write

REVIEW_CREATED = "review_created"


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """A review as the database has it."""

    id: int
    user: int
    movie: int
    rating: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event as it reached the queue of the suite."""

    event: str  # its id
    type: str
    movie: int
    version: int
    review: int | None
    rooms: tuple[str, ...] = ()  # that are to hear of it


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What a gateway says of a movie."""

    gateway: int
    movie: int
    review_count: int
    average_rating: float | None


@dataclass
class Observed:
    """All that there is to see once everything has settled."""

    writes: Sequence[Write]
    rows: Sequence[ReviewRow]
    served: Iterable[int]  # ids of the reviews that REST lists
    arrivals: Sequence[Arrival]  # in the order in which they came
    # By listener, the ids of the events heard, in order; and of those that were to be heard.
    heard: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rooms: Mapping[str, int | None] = field(default_factory=dict)  # by listener, the movie; None for all
    aggregates: Sequence[Aggregate] = ()


@dataclass
class Total:
    lost: list[Hashable] = field(default_factory=list)
    duplicated: list[Hashable] = field(default_factory=list)
    unexpected: list[Hashable] = field(default_factory=list)
    recovered: list[Hashable] = field(default_factory=list)


@dataclass
class Verdict:
    """What the checker found. All but `recovered`, `redelivered` and `missed` must be empty."""

    acknowledged: int
    unacknowledged: list[str]  # keys of writes that were never acknowledged, however often they were sent
    contradicted: list[str]  # of those, the ones whose only sender was told 4xx
    reviews: Total
    unserved: list[int]  # acknowledged reviews that REST does not list
    events: Total
    redelivered: int  # arrivals of an event that had come before
    disordered: list[str]  # "movie 3: version 8 after 9"
    heard_twice: list[str]  # "listener: event"
    missed: int  # events that a listener did not hear
    wrong_aggregates: list[str]

    @property
    def violations(self) -> dict[str, Sequence[object]]:
        """By its name, whatever must be empty and is not."""
        found: dict[str, Sequence[object]] = {
            "never acknowledged": self.unacknowledged,
            "acknowledged reviews lost": self.reviews.lost,
            "acknowledged reviews not served": self.unserved,
            "reviews duplicated": self.reviews.duplicated,
            "reviews unexpected": self.reviews.unexpected,
            "events lost": self.events.lost,
            "events duplicated": self.events.duplicated,
            "events unexpected": self.events.unexpected,
            "events out of order": self.disordered,
            "heard twice in a room": self.heard_twice,
            "wrong review_count or average_rating": self.wrong_aggregates,
        }
        return {name: what for name, what in found.items() if what}


def check(observed: Observed) -> Verdict:
    writes = observed.writes
    first_arrivals = _first(observed.arrivals)
    told = {review for write in writes for review in write.told}
    return Verdict(
        acknowledged=sum(write.acknowledged for write in writes),
        unacknowledged=[write.key for write in writes if not write.acknowledged],
        contradicted=[write.key for write in writes if write.settled and not write.acknowledged],
        reviews=check_reviews(writes, observed.rows),
        unserved=sorted(told - set(observed.served)),
        events=check_events(observed.rows, first_arrivals),
        redelivered=len(observed.arrivals) - len(first_arrivals),
        disordered=disorder(first_arrivals),
        heard_twice=heard_twice(observed.heard),
        missed=missed(first_arrivals, observed.heard, observed.rooms),
        wrong_aggregates=wrong_aggregates(writes, observed.rows, observed.aggregates),
    )


def check_reviews(writes: Iterable[Write], rows: Iterable[ReviewRow]) -> Total:
    """The rows against the writes. Rows are known by user, movie and rating, acknowledgements by ids."""
    total = Total()
    asked = {(write.user, write.movie): write for write in writes}
    there: set[int] = set()
    found: Counter[tuple[int, int]] = Counter()
    for row in rows:
        pair = (row.user, row.movie)
        there.add(row.id)
        write = asked.get(pair)
        if write is None or write.rating != row.rating:
            total.unexpected.append(row)
            continue
        found[pair] += 1
        if found[pair] > 1 or (write.told and row.id not in write.told):
            total.duplicated.append(row)
        elif write.outcomes[:1] != ["201"]:
            total.recovered.append(row.id)
    for write in asked.values():
        total.lost += [review for review in dict.fromkeys(write.told) if review not in there]
        if len(set(write.told)) > 1:
            total.duplicated.append(write.key)
    return total


def check_events(rows: Iterable[ReviewRow], first_arrivals: Iterable[Arrival]) -> Total:
    """The announcements of reviews against the rows: one event each, however often it was delivered."""
    total = Total()
    announced = Counter(each.review for each in first_arrivals if each.type == REVIEW_CREATED)
    ids = {row.id for row in rows}
    total.lost += sorted(ids - announced.keys())
    total.duplicated += [review for review, count in announced.items() if count > 1]
    total.unexpected += [review for review in announced if review not in ids]
    return total


def disorder(first_arrivals: Iterable[Arrival]) -> list[str]:
    """Where a movie's versions do not ascend, each event counted when it first came."""
    newest: dict[int, int] = {}
    found = []
    for arrival in first_arrivals:
        before = newest.get(arrival.movie, 0)
        if arrival.version <= before:
            found.append(f"movie {arrival.movie}: version {arrival.version} after {before}")
        newest[arrival.movie] = max(before, arrival.version)
    return found


def heard_twice(heard: Mapping[str, Sequence[str]]) -> list[str]:
    """What a listener heard more than once."""
    return [
        f"{listener}: {event}"
        for listener, events in heard.items()
        for event, count in Counter(events).items()
        if count > 1
    ]


def missed(
    first_arrivals: Iterable[Arrival], heard: Mapping[str, Sequence[str]], rooms: Mapping[str, int | None]
) -> int:
    """How many announcements of reviews did not reach a listener of their room, over all listeners."""
    announced = [each for each in first_arrivals if each.type == REVIEW_CREATED]
    return sum(
        each.event not in known
        for listener, movie in rooms.items()
        for known in [set(heard.get(listener, ()))]
        for each in announced
        if movie in (None, each.movie)
    )


def wrong_aggregates(
    writes: Iterable[Write], rows: Iterable[ReviewRow], aggregates: Iterable[Aggregate]
) -> list[str]:
    """Where `review_count` and `average_rating` are not what the reviews say.

    The acknowledged ones say it; one that is there without an acknowledgement counts too.
    """
    ratings: dict[int, dict[int, float]] = defaultdict(dict)
    for write in writes:
        if write.acknowledged:
            ratings[write.movie][write.user] = write.rating
    for row in rows:
        ratings[row.movie].setdefault(row.user, row.rating)
    found = []
    for each in aggregates:
        said = ratings[each.movie].values()
        expected = (len(said), sum(said) / len(said) if said else None)
        if (each.review_count, each.average_rating) != expected:
            found.append(
                f"movie {each.movie} at gateway {each.gateway}: {each.review_count} reviews of "
                f"{each.average_rating}, not {expected[0]} of {expected[1]}"
            )
    return found


def _first(arrivals: Iterable[Arrival]) -> list[Arrival]:
    by_id: dict[str, Arrival] = {}
    for arrival in arrivals:
        by_id.setdefault(arrival.event, arrival)
    return list(by_id.values())
