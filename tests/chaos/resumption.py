"""Judges what listeners heard in their rooms, who came back with the position they had. Pure functions.

A listener's log of one room is what it asked, what it was answered and what it heard, in order. An answer
`recovered: true` promises that nothing is missing between the position it came back with and what follows.
After `recovered: false` it starts anew from the `last_event_id` of that answer, and reads the rest elsewhere.
So a log falls into stretches: within each, every event of the room must be there, once, and each movie's in
the order of their versions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.checker import Arrival

REVIEW_EVENTS = ("review_created", "review_updated", "review_deleted")


@dataclass(frozen=True, slots=True)
class Asked:
    """To be let in, with the position it has."""

    last: str | None


@dataclass(frozen=True, slots=True)
class Answered:
    recovered: bool
    last: str | None


@dataclass(frozen=True, slots=True)
class Heard:
    event: str  # its id
    review: int


Record = Asked | Answered | Heard
Log = Sequence[Record]


class Truth:
    """What was announced, in its order, each event where it first came."""

    def __init__(self, arrivals: Iterable[Arrival]) -> None:
        self.events: dict[str, Arrival] = {}
        self._places: dict[str, int] = {}
        self._rooms: dict[str, list[str]] = defaultdict(list)
        for arrival in arrivals:
            if arrival.type in REVIEW_EVENTS and arrival.event not in self.events:
                self._places[arrival.event] = len(self.events)
                self.events[arrival.event] = arrival
                for room in arrival.rooms:
                    self._rooms[room].append(arrival.event)

    def place(self, event: str | None) -> int | None:
        """Where an event stands among all; None for one that was not announced."""
        return None if event is None else self._places.get(event)

    def between(self, room: str, after: int, last: int | None) -> list[str]:
        """The room's events behind the place `after`, up to the place `last` or to the end."""
        end = len(self.events) if last is None else last
        return [event for event in self._rooms[room] if after < self._places[event] <= end]


@dataclass
class Stretch:
    """What was heard from one start on, to be without a gap."""

    start: int | None  # the place of what it follows; None where the listener was told none
    heard: list[str] = field(default_factory=list)


@dataclass
class Findings:
    """Over any number of logs. The lists must be empty."""

    first_joins: int = 0  # without a position
    resumed: int = 0  # with one, answered `recovered: true`
    restarted: int = 0  # with one, answered `recovered: false`
    unanswered: int = 0  # the connection ended before the answer
    heard: int = 0
    replayed: int = 0  # of these, heard between a join and its answer
    skipped: int = 0  # events that came before a `recovered: false` and after what had been heard
    again: int = 0  # events heard before a `recovered: false`, and after it, which began further back
    missing: list[str] = field(default_factory=list)  # "listener in room: event"
    twice: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)  # not of this room, or not after its position
    unplaced: list[str] = field(default_factory=list)  # told no position
    unknown: int = 0  # times one was told a position that is no event: what follows it at once is not known


def judge(logs: Mapping[tuple[str, str], Log], truth: Truth) -> Findings:
    """`logs` by listener and room."""
    findings = Findings()
    for (listener, room), log in logs.items():
        who = f"{listener} in {room}"
        stretches = _stretches(log, truth, findings, who)
        for number, stretch in enumerate(stretches):
            following = stretches[number + 1 :]
            _check_stretch(stretch, following, room, truth, findings, who)
        events = [record.event for record in log if isinstance(record, Heard)]
        findings.heard += len(events)
        findings.again += sum(len(set(stretch.heard)) for stretch in stretches)
        findings.again -= len({event for stretch in stretches for event in stretch.heard})
    return findings


def outstanding(logs: Mapping[tuple[str, str], Log], truth: Truth) -> int:
    """How many events have not been heard that must still come."""
    return len(judge(logs, truth).missing)


def _stretches(log: Log, truth: Truth, findings: Findings, who: str) -> list[Stretch]:
    stretches: list[Stretch] = []
    early: list[str] = []  # heard where no join was answered yet
    asked: Asked | None = None
    since_asked: list[str] = []
    for record in log:
        match record:
            case Heard(event):
                if asked is not None:
                    since_asked.append(event)
                else:
                    (stretches[-1].heard if stretches else early).append(event)
            case Asked():
                if asked is not None:  # the connection ended before the answer
                    findings.unanswered += 1
                    (stretches[-1].heard if stretches else early).extend(since_asked)
                asked, since_asked = record, []
            case Answered(recovered, last):
                if asked is None:
                    findings.unexpected.append(f"{who}: an answer to nothing")
                    continue
                goes_on = recovered and asked.last is not None
                if asked.last is None:
                    findings.first_joins += 1
                elif recovered:
                    findings.resumed += 1
                    findings.replayed += len(since_asked)
                else:
                    findings.restarted += 1
                if goes_on and not stretches:
                    # Its position is what it heard before its first answer.
                    before = truth.place(early[0]) if early else None
                    stretches.append(Stretch(None if before is None else before - 1, early))
                elif not goes_on:
                    start = truth.place(last)
                    if last is None:
                        findings.unplaced.append(who)
                    elif start is None:
                        findings.unknown += 1
                    stretches.append(Stretch(start))
                stretches[-1].heard += since_asked
                asked, since_asked = None, []
    if asked is not None:
        findings.unanswered += 1
        (stretches[-1].heard if stretches else early).extend(since_asked)
    return stretches


def _check_stretch(
    stretch: Stretch,
    following: Sequence[Stretch],
    room: str,
    truth: Truth,
    findings: Findings,
    who: str,
) -> None:
    places = [place for event in stretch.heard if (place := truth.place(event)) is not None]
    start = stretch.start
    if start is None:  # nothing but what it heard tells where it began
        start = min(places, default=len(truth.events)) - 1
    last = max(places, default=start) if following else None
    expected = truth.between(room, start, last)
    findings.missing += [f"{who}: {event}" for event in _without(expected, stretch.heard)]
    findings.unexpected += [f"{who}: {event}" for event in _without(stretch.heard, expected)]
    findings.twice += [f"{who}: {event}" for event, count in Counter(stretch.heard).items() if count > 1]
    findings.disordered += [f"{who}: {what}" for what in _disorder(stretch.heard, truth)]
    if following and last is not None and (next_start := following[0].start) is not None:
        findings.skipped += len(truth.between(room, last, next_start))


def _without(events: Iterable[str], others: Iterable[str]) -> list[str]:
    known = set(others)
    return [event for event in events if event not in known]


def _disorder(events: Iterable[str], truth: Truth) -> list[str]:
    """Where a movie's versions do not ascend. What comes twice is another finding."""
    newest: dict[int, int] = {}
    found = []
    for event in dict.fromkeys(events):
        if (arrival := truth.events.get(event)) is None:
            continue
        before = newest.get(arrival.movie, 0)
        if arrival.version <= before:
            found.append(f"movie {arrival.movie}: version {arrival.version} after {before}")
        newest[arrival.movie] = max(before, arrival.version)
    return found
