"""The kinds of greed, one a row of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.greedy.preparation import Scene, add_long_films, add_long_reviews, add_wordy_films

FEW_FILES = 1024


@dataclass(frozen=True)
class Kind:
    """`deed` is its name in tests.bench.greedy.deeds; `files`, the platform's `ulimit -n`."""

    what: str
    deed: str
    furnish: Callable[[Scene, str], None] | None = None
    files: int | None = None


def _held(what: str, deed: str) -> dict[str, Kind]:
    name = deed.replace(" ", "-")
    return {
        name: Kind(what, deed),
        f"{name}-{FEW_FILES}": Kind(f"{what}, `ulimit -n {FEW_FILES}`", deed, files=FEW_FILES),
    }


KINDS: dict[str, Kind] = {
    "words": Kind(
        "searches with 150 one-letter words, and 60 films that are such words",
        "one-letter words",
        add_wordy_films,
    ),
    "queries": Kind("searches for hyphens, one letter, Chinese, long words", "odd queries", add_wordy_films),
    "logins": Kind("40 connections that log in without a pause", "logins"),
    "pages": Kind("distinct pages of 1,000 films, 200 with 10,000 emoji", "pages", add_long_films),
    **_held("1,000 idle connections at the gateway", "idle at the gateway"),
    **_held("1,000 half-sent requests at the gateway", "half a request"),
    **_held("1,500 idle connections at the notifier", "idle at the notifier"),
    "keys": Kind("logins with 60,000 unknown keys in 1 MiB", "keys at login"),
    "nested": Kind("logins with arrays 30 deep in 1 MiB", "nested at login"),
    "bodies": Kind("both bodies as a new film, signed in", "bodies at movies"),
    "guesses": Kind("wrong passwords for one account", "guesses"),
    "registrations": Kind("registrations", "registrations"),
    "current-passwords": Kind("wrong current passwords", "current passwords"),
    "messages": Kind("20 sockets of one user, talking into the others' room", "messages"),
    "replays": Kind("20 sockets that replay 20 reviews of 20,000 emoji", "replays", add_long_reviews),
}
