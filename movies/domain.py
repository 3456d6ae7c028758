"""Pure rules of films and reviews: rating, popularity, genres, who may do what."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from broker.clock import AHEAD
from broker.text import folded

# How many reviews the prior weighs.
PRIOR_WEIGHT: Final = 10

HALF_LIFE: Final = timedelta(days=7)
# Where forward decay counts from; any fixed moment serves.
LANDMARK: Final = datetime(2020, 1, 1, tzinfo=UTC)
NEVER: Final = -math.inf
# What sums of powers of two may be off by, in half-lives.
ROUNDING: Final = 0.001
# Below this share of what it was, a difference of powers of two has lost too many of a double's 53 bits.
PRECISE_SHARE: Final = 2.0**-20


def bayesian_rating(
    prior: float | None, review_count: int, rating_sum: float, catalogue_mean: float | None
) -> float | None:
    """The rating shown: `(m·prior + Σ review ratings) / (m + n)` with m = PRIOR_WEIGHT, on the scale 0 to 10.

    Without reviews it is the prior itself, be it None; with reviews and no prior, `catalogue_mean` is the
    prior. The formula is the weighted rating that IMDb publishes for its Top 250 (a shrinkage estimator).
    """
    if review_count == 0:
        return prior
    centre = catalogue_mean if prior is None else prior
    if centre is None:
        return rating_sum / review_count
    return (PRIOR_WEIGHT * centre + rating_sum) / (PRIOR_WEIGHT + review_count)


def catalogue_mean(prior_count: int, prior_sum: float, review_count: int, rating_sum: float) -> float | None:
    """The mean of the whole catalogue, in which each film's prior counts as PRIOR_WEIGHT reviews.

    None for a catalogue with neither priors nor reviews.
    """
    votes = PRIOR_WEIGHT * prior_count + review_count
    return (PRIOR_WEIGHT * prior_sum + rating_sum) / votes if votes else None


def age(moment: datetime) -> float:
    """`moment` in half-lives since the landmark."""
    return (moment - LANDMARK) / HALF_LIFE


def popularity(moments: Iterable[datetime]) -> float:
    """What reviews of these `moments` make a film's popularity; NEVER where there are none.

    Forward decay (Cormode, Shkapenyuk, Srivastava, Xu: "Forward decay", ICDE 2009): each review weighs
    2^age, and the sum, kept as its logarithm to base 2, orders films at any later time as the sum of
    2^(-elapsed / half-life) would, without ever being touched as time goes by.
    """
    total = NEVER
    for moment in moments:
        total = popularity_with(total, moment)
    return total


def popularity_with(total: float, moment: datetime) -> float:
    """`total` after one more review, in O(1)."""
    high, low = max(total, age(moment)), min(total, age(moment))
    return high + math.log2(1 + 2.0 ** (low - high))


def popularity_without(total: float, moment: datetime) -> float | None:
    """`total` after a review of `moment` is gone, in O(1).

    None where so little remains that the difference cannot be told from rounding: the caller then sums
    up the remaining reviews.
    """
    remaining = 1 - 2.0 ** (age(moment) - total)
    return total + math.log2(remaining) if remaining > PRECISE_SHARE else None


def is_possible(total: float, review_count: int, now: datetime) -> bool:
    """Whether a popularity can be that of so many reviews which have been written: none adds more than one of
    now does. One of a time when the clock was wrong does, for as long as that lies ahead.
    """
    return total <= age(now + AHEAD) + math.log2(max(review_count, 1)) + ROUNDING


@dataclass(frozen=True)
class Aggregate:
    """What a film's reviews add up to: how many, the sum of their ratings, and the popularity."""

    review_count: int
    rating_sum: float
    popularity: float

    def with_review(self, rating: float, moment: datetime) -> "Aggregate":
        return Aggregate(
            self.review_count + 1, self.rating_sum + rating, popularity_with(self.popularity, moment)
        )

    def with_rating_changed(self, before: float, after: float) -> "Aggregate":
        return replace(self, rating_sum=self.rating_sum - before + after)

    def without_review(self, rating: float, remaining_popularity: float) -> "Aggregate":
        return Aggregate(self.review_count - 1, self.rating_sum - rating, remaining_popularity)


def genres(genre: str) -> list[str]:
    """The members of a comma-separated list, each once however it is written, in their order."""
    members: dict[str, str] = {}
    for member in genre.split(","):
        name = " ".join(member.split())
        if name:
            members.setdefault(folded(name), name)
    return list(members.values())


@dataclass(frozen=True)
class Actor:
    """Who asks, as the gateway (or an operator) vouches for it. `uid` is the account's, None where nobody
    says: then the id alone does.
    """

    id: int
    username: str
    role: str = "user"
    uid: str | None = None

    @property
    def is_staff(self) -> bool:
        return self.role in ("moderator", "admin")

    def may_change_movie(self, created_by: int | None) -> bool:
        """A film belongs to who entered it, and to moderators and admins."""
        return self.is_staff or created_by == self.id

    def may_delete_review(self, user_id: int | None) -> bool:
        """A review is its writer's; moderators and admins may take it down, though not rewrite it."""
        return self.is_staff or user_id == self.id
