"""What becomes of sign-ins where the clocks of the parts differ.

`python -m tests.bench.clocks` starts a full deployment and puts the clock of one part after the other
off by 1, 30 and 60 seconds and by ten years, either way, by libfaketime; that of PostgreSQL at the end. Each
time ten people sign in, ask the gateway who they are, connect to the notifier and review a film, whose
listeners must hear of it. It prints what was refused, and how far `created_at` is from the database's clock.
"""

from __future__ import annotations

import argparse
import queue
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import socketio.exceptions

from tests.clients import PASSWORD, Account, Api, Listener, sign_up
from tests.platforms import FullDeployment, connect, wait_until_ready
from tests.processes import wait_until
from tests.servers import Postgres, PrivateServers

SECONDS = (1, 30, 60, 10 * 365 * 86400)
PARTS = ("auth-0", "movies-0", "gateway-0", "notifications-0")
PEOPLE = 10


def faked(seconds: float) -> dict[str, str]:
    """The environment of a process whose clock is off by so much; AssertionError without libfaketime."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert libraries, "libfaketime is not installed: tests/install_servers.sh installs it"
    return {
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME": f"{int(seconds):+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@dataclass
class Refused:
    """What went wrong of PEOPLE sign-ins and what follows them; `seconds`: see `trial`."""

    sign_ins: int = 0
    requests: int = 0
    sockets: int = 0
    reviews: int = 0
    events: int = 0
    seconds: float = 0.0

    @property
    def none(self) -> bool:
        return not any(astuple(self)[:-1])


def trial(
    deployment: FullDeployment, people: list[Account], movie: int, gateway: str, notifier: str
) -> Refused:
    """Have each of `people` sign in and use what they got; `seconds` is the furthest that the moment of a
    review was from the database's clock.
    """
    refused = Refused()
    with Listener(notifier) as listener:
        listener.call("join_notification", user_id="nobody", room_id=str(movie))
        for person in people:
            answer = Api(gateway).post("/api/auth/login", {"email": person.email, "password": PASSWORD})
            if answer.status_code != 200:
                refused.sign_ins += 1
                continue
            token = answer.json()["access_token"]
            api = Api(gateway, token)
            refused.requests += api.get("/api/auth/me").status_code != 200
            try:
                Listener(notifier, token).close()
            except socketio.exceptions.ConnectionError:
                refused.sockets += 1
            written = api.post(f"/api/movies/{movie}/reviews", {"title": "Superb", "rating": 8})
            if written.status_code != 201:
                refused.reviews += 1
                continue
            review = api.get(f"/api/reviews/{written.json()['id']}").json()
            moment = datetime.fromisoformat(review["created_at"])
            refused.seconds = max(refused.seconds, abs(database_time(deployment) - moment.timestamp()))
            try:
                listener.next("new_review")
            except queue.Empty:
                refused.events += 1
    return refused


def database_time(deployment: FullDeployment) -> float:
    connection = connect(deployment.databases.movies)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
            (seconds,) = cursor.fetchone() or (0.0,)
            return float(seconds)
    finally:
        connection.close()


def restart(deployment: FullDeployment, clocks: Mapping[str, float]) -> None:
    """Start each of these parts anew, with its clock off by so many seconds."""
    for part in clocks:
        deployment.process(part).terminate()
    for part, seconds in clocks.items():
        deployment.process(part).stop()
        deployment.of_part[part] = faked(seconds) if seconds else {}
        deployment.start_part(part)
    wait_until_ready(deployment.gateways, deployment.notifiers, deployment.processes)


def rows(deployment: FullDeployment) -> Iterator[tuple[str, float, Refused]]:
    gateway, notifier = deployment.gateways[0], deployment.notifiers[0]
    people = [sign_up(gateway) for _ in range(PEOPLE)]
    for part in PARTS:
        for seconds in (sign * each for each in SECONDS for sign in (1, -1)):
            movie = people[0].api.create_movie()
            restart(deployment, {part: seconds})
            yield part, seconds, trial(deployment, people, movie, gateway, notifier)
        restart(deployment, {part: 0})


def rows_of_postgres(deployment: FullDeployment, postgres: Postgres) -> Iterator[tuple[float, Refused]]:
    """The database's clock is set while everything runs: it is followed with the next reading of auth."""
    gateway, notifier = deployment.gateways[0], deployment.notifiers[0]
    for seconds in (sign * each for each in SECONDS[1:] for sign in (1, -1)):
        people = [sign_up(gateway) for _ in range(PEOPLE)]
        movie = people[0].api.create_movie()
        postgres.stop()
        postgres.environment = faked(seconds)
        postgres.start()
        wait_until_ready(deployment.gateways, deployment.notifiers, deployment.processes)
        wait_until(partial(is_taken, gateway, notifier, people[0]), 60, "a token of that clock is taken")
        yield seconds, trial(deployment, people, movie, gateway, notifier)


def is_taken(gateway: str, notifier: str, person: Account) -> bool:
    answer = Api(gateway).post("/api/auth/login", {"email": person.email, "password": PASSWORD})
    if answer.status_code != 200:
        return False
    token = answer.json()["access_token"]
    try:
        Listener(notifier, token).close()
    except socketio.exceptions.ConnectionError:
        return False
    return Api(gateway, token).get("/api/auth/me").status_code == 200


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    print("| clock of | off by | sign-ins refused | requests | sockets | reviews | events lost | off, s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix=f"clocks-{uuid.uuid4().hex[:6]}-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with PrivateServers() as servers:
            deployment = FullDeployment(servers.urls, folder)
            try:
                deployment.start()
                for part, seconds, refused in rows(deployment):
                    tell(part, seconds, refused)
                assert servers.postgres is not None
                for seconds, refused in rows_of_postgres(deployment, servers.postgres):
                    tell("PostgreSQL", seconds, refused)
            finally:
                deployment.stop()


def tell(part: str, seconds: float, refused: Refused) -> None:
    off = f"{seconds:+d} s" if abs(seconds) < 1e5 else f"{'+-'[seconds < 0]}10 years"
    *counts, difference = astuple(refused)
    print(f"| {part} | {off} | " + " | ".join(map(str, counts)) + f" | {difference:.3f} |", flush=True)


if __name__ == "__main__":
    main()
