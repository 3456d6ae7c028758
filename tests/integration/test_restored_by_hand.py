"""Databases put back by hand to what they were: nobody gets what is another's, and rooms know it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kombu
import pytest
import redis
import socketio
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from broker import history_table
from broker.embedded_postgres import EmbeddedPostgres
from broker.errors import ServiceUnavailable
from broker.topology import REVIEW_STREAM
from tests.clients import Account, Api, Listener, sign_in, sign_up
from tests.platforms import FullDeployment, connect, running, wait_until_ready
from tests.processes import PROGRAMS, run, wait_until
from tests.servers import PrivateServers
from tests.servers.postgres import postgres_program

NOTICED_SECONDS = 60


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullDeployment]:
    with PrivateServers() as servers:
        deployment = FullDeployment(servers.urls, tmp_path_factory.mktemp("restored"))
        deployment.environment["REVOCATION_REFRESH"] = "5"
        with running(deployment):
            yield deployment


class Story:
    """Alice reviews a film; a backup is made; then bob comes, and reviews it too, and one of his own, and
    alice signs out of her second session.
    """

    def __init__(self, deployment: FullDeployment, folder: Path) -> None:
        self.deployment, self.folder = deployment, folder
        self.gateway, self.notifier = deployment.gateways[0], deployment.notifiers[0]
        self.alice = sign_up(self.gateway)
        self.film = self.alice.api.create_movie()
        self.of_alice = self.alice.api.create_review(self.film)
        self.elsewhere = sign_in(self.gateway, self.alice.email)
        self._run("pg_dump", "auth", "--format=custom", f"--file={folder / 'auth'}")
        self._run("pg_dump", "movies", "--format=custom", f"--file={folder / 'movies'}")
        self.bob = sign_up(self.gateway)
        self.lost_film = self.bob.api.create_movie()
        self.position = self._heard(lambda: self.bob.api.create_review(self.lost_film))["event_id"]
        self.of_bob = self.bob.api.create_review(self.film)
        self.version = self._version()
        assert self.elsewhere.api.post("/api/auth/logout").status_code == 200

    def put_back(self, *parts: str, empty: bool) -> None:
        """As by somebody who has stopped the two services that have a database, and no others. `empty`: Redis
        and the stream of reviews are gone too.
        """
        for each in ("auth-0", "movies-0"):
            assert self.deployment.process(each).stop() == 0
        for part in parts:
            self._run("pg_restore", part, "--clean", "--if-exists", str(self.folder / part))
        if empty:
            redis.Redis.from_url(self.deployment.servers.redis).flushall()
            with kombu.Connection(self.deployment.servers.amqp) as connection:
                kombu.Queue(REVIEW_STREAM, channel=connection.channel()).delete()
        self.deployment.migrate()
        for each in ("auth-0", "movies-0"):
            self.deployment.start_part(each)
        wait_until_ready([self.gateway], [self.notifier], self.deployment.processes)

    def knows_it_missed_something(self, room: int) -> bool:
        """Whether a listener that was in a room until the backup was put back is told so, and nothing else.
        Not yet, where the notifier has not learnt of it, or does at this moment and closes all sockets.
        """
        data = {"user_id": "guest", "room_id": str(room), "last_event_id": self.position}
        try:
            listener = Listener(self.notifier)
            joined = listener.call("join_notification", **data)
        except socketio.exceptions.SocketIOError:
            return False
        assert listener.heard["new_review"].empty()
        listener.close()
        return joined["recovered"] is False

    def version_announced(self) -> int:
        """Of the film, as alice changes her review."""
        assert (
            sign_in(self.gateway, self.alice.email)
            .api.put(f"/api/reviews/{self.of_alice}", {"title": "As before"})
            .ok
        )
        return self._version()

    def _heard(self, review: Callable[[], object]) -> dict[str, Any]:
        listener = Listener(self.notifier)
        assert "error" not in listener.call("join_notification", user_id="guest", room_id="all")
        review()
        told: dict[str, Any] = listener.next("new_review")
        listener.close()
        return told

    def _version(self) -> int:
        with connect(self.deployment.databases.movies) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT version FROM movie_stats WHERE movie_id = %s", [self.film])
            (version,) = cursor.fetchone() or (0,)
        return int(version)

    def _run(self, program: str, part: str, *more: str) -> None:
        url = make_url(getattr(self.deployment.databases, part)).set(drivername="postgresql")
        database = f"--dbname={url.render_as_string(hide_password=False)}"
        subprocess.run([postgres_program(program), database, *more], check=True, capture_output=True)


def is_nobodys(account: Account) -> bool:
    """Whether its token is refused."""
    return account.api.get("/api/auth/me").status_code == 401


def writer(gateway: str, review: int) -> object:
    return Api(gateway).get(f"/api/reviews/{review}").json()["user_id"]


def wait(condition: Callable[[], bool], what: str) -> None:
    wait_until(condition, NOTICED_SECONDS, what)


def test_both_are_put_back(deployment: FullDeployment, tmp_path: Path) -> None:
    story = Story(deployment, tmp_path)
    story.put_back("auth", "movies", empty=False)
    for account in (story.bob, story.elsewhere, story.alice):
        wait(lambda account=account: is_nobodys(account), "tokens of before are refused")
    carol = sign_up(story.gateway)
    assert carol.id > story.bob.id
    assert carol.api.get("/api/auth/me").json()["email"] == carol.email
    assert is_nobodys(story.bob)
    assert story.bob.api.put(f"/api/reviews/{story.of_alice}", {"title": "x"}).status_code == 401
    film = carol.api.create_movie()
    assert film > story.lost_film
    assert carol.api.create_review(film) > story.of_bob
    for room in (story.lost_film, film, story.film):
        wait(lambda room=room: story.knows_it_missed_something(room), "the position is not known")
    assert story.version_announced() > story.version
    assert writer(story.gateway, story.of_alice) == story.alice.id
    # One that reads the stream from its beginning knows the position no more than the one that was there.
    assert deployment.process("notifications-0").stop() == 0
    deployment.start_part("notifications-0")
    wait_until_ready([story.gateway], [story.notifier], deployment.processes)
    assert story.knows_it_missed_something(story.lost_film)
    assert story.knows_it_missed_something(film)


def test_auth_alone_is_put_back(deployment: FullDeployment, tmp_path: Path) -> None:
    story = Story(deployment, tmp_path)
    story.put_back("auth", empty=False)
    for account in (story.bob, story.elsewhere, story.alice):
        wait(lambda account=account: is_nobodys(account), "tokens of before are refused")
    carol = sign_up(story.gateway)
    assert carol.id > story.bob.id
    # Bob's account is gone, and so what he wrote is nobody's.
    wait(lambda: writer(story.gateway, story.of_bob) is None, "the review is unsigned")
    assert carol.api.put(f"/api/reviews/{story.of_bob}", {"title": "x"}).status_code == 403
    assert carol.api.put(f"/api/movies/{story.lost_film}", {"title": "x"}).status_code == 403
    assert writer(story.gateway, story.of_alice) == story.alice.id
    assert story.version_announced() > story.version


def test_movies_alone_are_put_back(deployment: FullDeployment, tmp_path: Path) -> None:
    story = Story(deployment, tmp_path)
    assert story.alice.delete().status_code == 200
    story.put_back("movies", empty=True)
    # Auth goes on where it was: bob is there, his reviews are not; alice is not.
    assert story.bob.api.get("/api/auth/me").json()["email"] == story.bob.email
    film = story.bob.api.create_movie()
    assert film > story.lost_film
    assert story.bob.api.create_review(film) > story.of_bob
    wait(lambda: writer(story.gateway, story.of_alice) is None, "the review is unsigned")
    for room in (story.lost_film, film):
        wait(lambda room=room: story.knows_it_missed_something(room), "the position is not known")


def test_auth_of_a_history_that_movies_does_not_know_is_noticed(
    deployment: FullDeployment, tmp_path: Path
) -> None:
    story = Story(deployment, tmp_path)
    with connect(deployment.databases.auth) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE history SET id = md5(id) RETURNING id")
        assert cursor.fetchone()

    def status() -> dict[str, Any]:
        found: dict[str, Any] = Api(story.gateway).get("/api/movies/status").json()
        return found

    wait(lambda: "two histories" in status().get("error", ""), "movies says so")
    who = {"id": story.alice.id, "username": story.alice.username}
    with pytest.raises(ServiceUnavailable):
        deployment.rpc("movies.create", {"title": "Film"}, who)


def test_a_folder_of_the_embedded_server_that_is_copied_is_noticed(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    data.mkdir()

    def found(folder: Path, *, migrate: bool) -> tuple[str | None, int]:
        """The trouble with auth's database there, and the number of its history."""
        with EmbeddedPostgres(folder, owner=True, connections=10) as server:
            url = server.ensure_database("auth")
            if migrate:
                ended = run(
                    [PROGRAMS / "alembic", "-n", "auth", "upgrade", "head"], {"AUTH_DATABASE_URL": url}
                )
                assert ended.returncode == 0, ended.stderr
            with create_engine(url, poolclass=NullPool).connect() as connection:
                return history_table.trouble(connection, "auth"), history_table.current(connection).number

    assert found(data, migrate=True) == (None, 1)
    subprocess.run(["cp", "-a", data, copy], check=True)
    assert found(data, migrate=False) == (None, 1)
    trouble, _ = found(copy, migrate=False)
    assert trouble
    assert "copied by hand" in trouble
    assert found(copy, migrate=True) == (None, 2)
