"""What must hold after a restore, asked over the API and looked up in the databases."""

from __future__ import annotations

from contextlib import closing, suppress

import psycopg2
import psycopg2.extensions
import requests

from tests.clients import Api
from tests.platforms import connect
from tests.processes import wait_until
from tests.restores.ledger import BY, Ledger, Person, author

PAGE = 100
CONNECTION_SECONDS = 30


def rows(url: str, question: str, *values: object) -> list[tuple[object, ...]]:
    with closing(_connected(url)) as connection, connection.cursor() as cursor:
        cursor.execute(question, values or None)
        return cursor.fetchall()


def _connected(url: str) -> psycopg2.extensions.connection:
    """A server whose disk was full a moment ago may have no connection to give until others have ended."""
    made: list[psycopg2.extensions.connection] = []

    def try_to() -> bool:
        with suppress(psycopg2.OperationalError):
            made.append(connect(url))
        return bool(made)

    wait_until(try_to, CONNECTION_SECONDS, "the database takes a connection")
    return made[0]


def tokens_of_before(gateway: str, ledger: Ledger) -> list[str]:
    """Tokens of before the last restore that are good for anything, or show somebody else."""
    found = []
    for token, person, era in ledger.tokens:
        if era < ledger.era:
            answer = Api(gateway, token).get("/api/auth/me")
            if answer.status_code != 401:
                found.append(f"{person.name}'s: {answer.status_code} {shown(answer)}")
    return found


def shown(answer: requests.Response) -> str:
    return str(answer.json().get("username", "")) if answer.ok else ""


def others_seen(gateway: str, movies_url: str, ledger: Ledger) -> list[str]:
    """Whoever sees a profile that is not theirs, or whose reviews are under somebody else's name or id."""
    found = []
    for token, person, era in ledger.tokens:
        if era == ledger.era:
            answer = Api(gateway, token).get("/api/auth/me")
            if answer.status_code == 200 and shown(answer) != person.name:
                found.append(f"{person.name} sees the profile of {shown(answer)}")
    for person in ledger.people:
        found += _reviews_shown(gateway, person)
    names = {person.id: person.name for person in ledger.people}
    for title, user in rows(movies_url, "SELECT title, user_id FROM reviews WHERE user_id IS NOT NULL"):
        if str(title).startswith(BY) and names.get(user, author(str(title))) != author(str(title)):  # type: ignore[call-overload]
            found.append(f"'{title}' is account {user}'s, who is {names.get(user)}")  # type: ignore[call-overload]
    return found


def _reviews_shown(gateway: str, person: Person) -> list[str]:
    answer = Api(gateway).get(f"/api/users/{person.id}/reviews?limit={PAGE}")
    if answer.status_code == 404:
        return []
    return [
        f"'{each['title']}' is shown as {person.name}'s"
        for each in answer.json()["data"]
        if each["title"].startswith(BY) and author(each["title"]) != person.name
    ]


def doubled(movies_url: str, ledger: Ledger) -> list[str]:
    """Ids given to two, and reviews that are there twice."""
    question = "SELECT title, movie_id FROM reviews GROUP BY 1, 2 HAVING count(*) > 1"
    twice = [(str(title), movie) for title, movie in rows(movies_url, question)]
    # Others may have written in these databases, and called theirs as they liked.
    return ledger.twice() + [f"'{title}' of film {movie}" for title, movie in twice if title.startswith(BY)]


def catalogue(gateway: str, movies_url: str, film: int) -> list[str]:
    """What is shown of a film, and of the popular ones, that the database does not hold."""
    found = []
    ((count,),) = rows(movies_url, "SELECT count(*) FROM reviews WHERE movie_id = %s", film)
    answer = Api(gateway).get(f"/api/movies/{film}")
    if answer.ok and answer.json()["review_count"] != count:
        found.append(f"film {film} shows {answer.json()['review_count']} reviews of {count}")
    there = {number for (number,) in rows(movies_url, "SELECT id FROM movies")}
    for path in ("popular?limit=50", "search?title=film&limit=50"):
        answer = Api(gateway).get(f"/api/movies/{path}")
        found += [
            f"{path} shows film {each['id']}" for each in answer.json()["data"] if each["id"] not in there
        ]
    return found
