"""People who act in the contract's cases: shared, so none of them may be changed by a case."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients import Account, Api, Listener, sign_up
from tests.contract.expect import EFFECT_SECONDS
from tests.platforms import Platform
from tests.processes import wait_until


@pytest.fixture(scope="session")
def gateway(platform: Platform) -> str:
    """The base URL of the first gateway."""
    return platform.gateways[0]


@pytest.fixture(scope="session")
def anyone(gateway: str) -> Api:
    """Nobody in particular: no token."""
    return Api(gateway)


@pytest.fixture(scope="session")
def people(gateway: str) -> list[Account]:
    return [sign_up(gateway) for _ in range(4)]


@pytest.fixture(scope="session")
def alice(people: list[Account]) -> Account:
    return people[0]


@pytest.fixture(scope="session")
def bob(people: list[Account]) -> Account:
    return people[1]


@pytest.fixture(scope="session")
def carol(people: list[Account]) -> Account:
    return people[2]


@pytest.fixture(scope="session")
def admin(platform: Platform) -> Account:
    """An admin whom every gateway knows as one."""
    account = sign_up(platform.gateways[0])
    platform.set_role(account.username, "admin")

    def is_known() -> bool:
        return all(
            Api(gateway, account.token).delete("/api/movies/cache/clear").status_code == 200
            for gateway in platform.gateways
        )

    wait_until(is_known, EFFECT_SECONDS, "every gateway knows the admin")
    return account


@pytest.fixture(scope="session")
def moderator(platform: Platform, alice: Account) -> Account:
    """A moderator whom every gateway knows as one."""
    account = sign_up(platform.gateways[0])
    platform.set_role(account.username, "moderator")
    movie = alice.api.create_movie()

    def is_known() -> bool:
        return all(
            Api(gateway, account.token).put(f"/api/movies/{movie}", {"genre": "Drama"}).status_code == 200
            for gateway in platform.gateways
        )

    wait_until(is_known, EFFECT_SECONDS, "every gateway knows the moderator")
    return account


@pytest.fixture
def movie(alice: Account) -> int:
    """A fresh movie of Alice's, which nobody has reviewed."""
    return alice.api.create_movie()


@pytest.fixture(scope="session")
def shared_movie(alice: Account) -> int:
    """A movie of Alice's for cases that must not change it, reviewed by Bob alone."""
    return alice.api.create_movie()


@pytest.fixture(scope="session")
def shared_review(bob: Account, shared_movie: int) -> int:
    """Bob's review of `shared_movie`, for cases that must not change it."""
    return bob.api.create_review(shared_movie)


@pytest.fixture(scope="session")
def notifier(platform: Platform) -> str:
    return platform.notifiers[0]


@pytest.fixture
def bobs(notifier: str, bob: Account) -> Iterator[Listener]:
    """Bob's connection."""
    with Listener(notifier, bob.token) as listener:
        yield listener


@pytest.fixture
def carols(notifier: str, carol: Account) -> Iterator[Listener]:
    """Carol's connection."""
    with Listener(notifier, carol.token) as listener:
        yield listener


@pytest.fixture
def nobodys(notifier: str) -> Iterator[Listener]:
    """A connection without a token."""
    with Listener(notifier) as listener:
        yield listener
