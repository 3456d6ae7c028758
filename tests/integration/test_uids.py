"""An id that is another account's by now, as after rows were put back by hand: the uid tells who is who."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.clients import Account, Api, sign_in, sign_up
from tests.platforms import FullDeployment, connect


@dataclass
class Stage:
    """What a former account wrote, and the account that has its id now."""

    former: Account
    film: int
    review: int
    newcomer: Account


@pytest.fixture
def stage(full_deployment: FullDeployment) -> Stage:
    former = sign_up(full_deployment.gateways[0])
    film = former.api.create_movie()
    review = former.api.create_review(film)
    with connect(full_deployment.databases.auth) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE users SET uid = gen_random_uuid() WHERE id = %s", [former.id])
    return Stage(former, film, review, sign_in(full_deployment.gateways[1], former.email))


def test_a_token_shows_nothing_of_another_account(stage: Stage) -> None:
    former, newcomer = stage.former, stage.newcomer
    assert newcomer.id == former.id
    assert newcomer.api.get("/api/auth/me").status_code == 200
    assert former.api.get("/api/auth/me").status_code == 401
    assert former.change(username="somebody").status_code == 401
    assert former.delete().status_code == 401
    assert former.api.post("/api/auth/logout").status_code == 401
    assert newcomer.api.get("/api/auth/me").status_code == 200


def test_an_account_owns_nothing_of_the_one_that_had_its_id(stage: Stage) -> None:
    film, review = f"/api/movies/{stage.film}", f"/api/reviews/{stage.review}"
    newcomer = stage.newcomer.api
    assert newcomer.put(review, {"title": "Mine"}).status_code == 403
    assert newcomer.delete(review).status_code == 403
    assert newcomer.put(film, {"title": "Mine"}).status_code == 403
    assert newcomer.delete(film).status_code == 403
    assert Api(newcomer.base).get(review).json()["user_id"] is None
    assert newcomer.create_review(stage.film)
    # From now on movies knows whose the id is.
    assert stage.former.api.put(review, {"title": "Mine"}).status_code == 401
    assert stage.former.api.post(f"{film}/reviews", {"title": "Again", "rating": 3}).status_code == 401


def test_the_account_that_one_was_is_the_owner_after_the_upgrade(full_deployment: FullDeployment) -> None:
    """Rows of a release before have no uid: auth is asked."""
    account = sign_up(full_deployment.gateways[0])
    review = account.api.create_review(account.api.create_movie())
    with connect(full_deployment.databases.movies) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE reviewers SET uid = NULL WHERE user_id = %s", [account.id])
    assert account.api.put(f"/api/reviews/{review}", {"title": "Still mine"}).status_code == 200
    with connect(full_deployment.databases.movies) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT uid FROM reviewers WHERE user_id = %s", [account.id])
        (uid,) = cursor.fetchone() or (None,)
    assert uid is not None
