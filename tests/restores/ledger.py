"""What the platform gave out, to whom, and when: what nobody may ever be given again, or see of another."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field

import requests

from tests.clients import PASSWORD, Api

BY = "by "  # a review's title says who wrote it, so that nobody need be asked


@dataclass
class Person:
    """An account, and its latest token."""

    id: int
    name: str
    email: str
    token: str
    era: int

    def at(self, gateway: str) -> Api:
        return Api(gateway, self.token)


@dataclass
class Review:
    id: int
    title: str
    movie: int
    person: Person
    era: int


@dataclass
class Ledger:
    """Everything that was acknowledged; `era` counts the restores. Threads may write to it."""

    era: int = 0
    people: list[Person] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    tokens: list[tuple[str, Person, int]] = field(default_factory=list)
    films: list[int] = field(default_factory=list)
    given: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def twice(self) -> list[str]:
        """Ids that two things were given."""
        return [
            f"{kind} {number}: {sorted(whose)}"
            for (kind, number), whose in self.given.items()
            if len(whose) > 1
        ]

    def register(self, gateway: str, name: str) -> Person:
        """A new account, signed in. AssertionError where that is refused."""
        email = f"{name}@example.com"
        body = {"username": name, "email": email, "password": PASSWORD, "confirm_password": PASSWORD}
        answer = Api(gateway).post("/api/auth/register", body)
        assert answer.status_code == 201, answer.text
        person = Person(0, name, email, "", self.era)
        answer = self.sign_in(gateway, person)
        assert answer.status_code == 200, answer.text
        with self.lock:
            self.people.append(person)
        return person

    def sign_in(self, gateway: str, person: Person) -> requests.Response:
        """The answer; the person has the new token, and the id that goes with it."""
        answer = Api(gateway).post("/api/auth/login", {"email": person.email, "password": PASSWORD})
        if answer.status_code == 200:
            person.token = answer.json()["access_token"]
            me = person.at(gateway).get("/api/auth/me")
            assert me.status_code == 200, me.text
            person.id = me.json()["id"]
            with self.lock:
                self.tokens.append((person.token, person, self.era))
                self.given["account", person.id].add(person.name)
        return answer

    def film(self, gateway: str, person: Person, title: str) -> int:
        number = person.at(gateway).create_movie(title=title, genre="Drama")
        with self.lock:
            self.films.append(number)
            self.given["film", number].add(title)
        return number

    def review(self, gateway: str, person: Person, movie: int, more: str = "") -> Review:
        """AssertionError where it is refused."""
        title = f"{BY}{person.name} {more}".strip()
        review = Review(person.at(gateway).create_review(movie, title=title), title, movie, person, self.era)
        self.keep(review)
        return review

    def keep(self, review: Review) -> None:
        with self.lock:
            self.reviews.append(review)
            self.given["review", review.id].add(f"{review.title} of film {review.movie}")


def author(title: str) -> str:
    """Who wrote a review of that title."""
    return title.removeprefix(BY).split(" ")[0]
