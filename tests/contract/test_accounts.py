"""Accounts: register, one's own profile, deletion, and what everyone may see."""

from __future__ import annotations

import pytest

from tests.clients import PASSWORD, Account, Api, sign_in, sign_up
from tests.contract.expect import (
    EFFECT_SECONDS,
    NOBODYS_ID,
    assert_error,
    assert_message,
    get,
    ids,
    unique,
    walk,
)
from tests.platforms import Platform
from tests.processes import wait_until


def registration(**fields: str) -> dict[str, str]:
    name = unique("u")[:20]
    given = {
        "username": name,
        "email": f"{name}@example.com",
        "password": PASSWORD,
        "confirm_password": PASSWORD,
    }
    return {**given, **fields}


def test_register_answers_201_and_says_so(anyone: Api) -> None:
    response = anyone.post("/api/auth/register", registration())
    assert_message(response, "User registered successfully", 201)


def test_what_was_registered_can_sign_in_with_its_email_whatever_the_case(anyone: Api) -> None:
    body = registration()
    anyone.post("/api/auth/register", body)
    response = anyone.post(
        "/api/auth/login", {"email": f" {body['email'].upper()} ", "password": body["password"]}
    )
    assert_message(response, "Login successful")
    assert response.json()["user"] == body["username"]


@pytest.mark.parametrize("spell", [str, str.upper], ids=["same", "upper"])
def test_a_username_is_taken_whatever_its_case(anyone: Api, alice: Account, spell: type[str]) -> None:
    response = anyone.post("/api/auth/register", registration(username=spell(alice.username)))
    assert_error(response, 400, "Username already exists", fields={"username"})


def test_a_username_beyond_ascii_is_taken_whatever_its_case(anyone: Api) -> None:
    name = f"zoë-ömür-{unique()[:10]}"
    assert anyone.post("/api/auth/register", registration(username=name)).status_code == 201
    response = anyone.post("/api/auth/register", registration(username=name.upper()))
    assert_error(response, 400, "Username already exists", fields={"username"})


@pytest.mark.parametrize("spell", [str, str.upper], ids=["same", "upper"])
def test_an_email_is_taken_whatever_its_case(anyone: Api, alice: Account, spell: type[str]) -> None:
    response = anyone.post("/api/auth/register", registration(email=spell(alice.email)))
    assert_error(response, 400, "Email already exists", fields={"email"})


def test_passwords_that_differ_are_refused(anyone: Api) -> None:
    response = anyone.post("/api/auth/register", registration(confirm_password="another password"))
    assert_error(response, 400, "Passwords do not match", fields={"confirm_password"})


def test_what_was_refused_is_not_registered(anyone: Api) -> None:
    body = registration(confirm_password="another password")
    anyone.post("/api/auth/register", body)
    login = {"email": body["email"], "password": body["password"]}
    assert_error(anyone.post("/api/auth/login", login), 401, "Invalid email or password")


def test_ones_own_profile_has_the_email(alice: Account) -> None:
    profile = get(alice.api, "/api/auth/me")
    assert profile["id"] == alice.id
    assert profile["username"] == alice.username
    assert profile["email"] == alice.email


def test_a_public_profile_is_id_username_joined_and_review_count(anyone: Api, alice: Account) -> None:
    profile = get(anyone, f"/api/users/{alice.id}")
    assert set(profile) == {"id", "username", "joined", "review_count"}
    assert (profile["id"], profile["username"]) == (alice.id, alice.username)
    assert profile["joined"] == get(alice.api, "/api/auth/me")["joined"]


def test_review_count_follows_the_reviews(anyone: Api, alice: Account, carol: Account) -> None:
    movies = [alice.api.create_movie() for _ in range(2)]

    def count() -> int:
        return int(get(anyone, f"/api/users/{carol.id}")["review_count"])

    before = count()
    reviews = [carol.api.create_review(movie) for movie in movies]
    assert count() == before + 2
    carol.api.delete(f"/api/reviews/{reviews[0]}")
    assert count() == before + 1


def test_a_users_reviews_come_paged_the_newest_first(anyone: Api, alice: Account, bob: Account) -> None:
    movies = [alice.api.create_movie() for _ in range(5)]
    mine = [bob.api.create_review(movie) for movie in movies]
    rows = walk(anyone, f"/api/users/{bob.id}/reviews", limit=2)
    assert ids(rows)[:5] == mine[::-1]
    assert {row["user_id"] for row in rows} == {bob.id}
    assert {row["username"] for row in rows} == {bob.username}
    assert len(set(ids(rows))) == len(rows) == get(anyone, f"/api/users/{bob.id}")["review_count"]


@pytest.mark.parametrize("path", ["/api/users/{id}", "/api/users/{id}/reviews"])
def test_a_user_who_is_not_there_is_not_found(anyone: Api, path: str) -> None:
    assert_error(anyone.get(path.format(id=NOBODYS_ID)), 404, "User not found")


def test_a_new_username_is_shown_everywhere(anyone: Api, alice: Account, gateway: str) -> None:
    user = sign_up(gateway)
    review = user.api.create_review(alice.api.create_movie())
    name = unique("renamed-")[:30]
    assert user.change(username=name).status_code == 200
    assert get(user.api, "/api/auth/me")["username"] == name
    assert get(anyone, f"/api/users/{user.id}")["username"] == name
    assert sign_in(gateway, user.email).username == name
    assert user.change(username=name.title()).status_code == 200
    wait_until(
        lambda: get(anyone, f"/api/reviews/{review}")["username"] == name.title(),
        EFFECT_SECONDS,
        "the review bears the new name",
    )


def test_a_new_email_signs_in_and_the_old_one_no_longer(anyone: Api, gateway: str) -> None:
    user = sign_up(gateway)
    email = f"new-{user.email}"
    assert user.change(email=email).status_code == 200
    assert sign_in(gateway, email).id == user.id
    login = {"email": user.email, "password": PASSWORD}
    assert_error(anyone.post("/api/auth/login", login), 401, "Invalid email or password")


@pytest.mark.parametrize(
    ("field", "message"), [("username", "Username already exists"), ("email", "Email already exists")]
)
def test_what_another_has_cannot_be_taken_by_a_change(
    alice: Account, bob: Account, field: str, message: str
) -> None:
    taken = getattr(bob, field).upper()
    assert_error(alice.change(**{field: taken}), 400, message, fields={field})
    assert get(alice.api, "/api/auth/me")[field] == getattr(alice, field)


@pytest.mark.parametrize("current", [{}, {"current_password": "not this one"}], ids=["missing", "wrong"])
def test_a_new_password_needs_the_current_one(alice: Account, gateway: str, current: dict[str, str]) -> None:
    response = alice.api.patch("/api/auth/me", {"password": "another password", **current})
    assert_error(response, 400, fields={"current_password"})
    assert sign_in(gateway, alice.email).id == alice.id


def test_a_new_password_signs_in_and_the_old_one_no_longer(anyone: Api, gateway: str) -> None:
    user = sign_up(gateway)
    change = {"password": "another password", "current_password": PASSWORD}
    assert user.api.patch("/api/auth/me", change).status_code == 200
    assert sign_in(gateway, user.email, "another password").id == user.id
    login = {"email": user.email, "password": PASSWORD}
    assert_error(anyone.post("/api/auth/login", login), 401, "Invalid email or password")


def test_a_new_password_ends_the_other_sessions_and_not_the_present_one(platform: Platform) -> None:
    present = sign_up(platform.gateways[0])
    other = sign_in(platform.gateways[0], present.email)
    change = {"password": "another password", "current_password": PASSWORD}
    assert present.api.patch("/api/auth/me", change).status_code == 200
    wait_until(
        lambda: all(
            Api(gateway, other.token).get("/api/auth/me").status_code == 401 for gateway in platform.gateways
        ),
        EFFECT_SECONDS,
        "the other session is refused at every gateway",
    )
    for gateway in platform.gateways:
        assert get(Api(gateway, present.token), "/api/auth/me")["id"] == present.id


@pytest.fixture(scope="module")
def gone(platform: Platform, alice: Account) -> tuple[Account, int, int]:
    """Who deleted the account, the review that it had written and the movie that it had added."""
    user = sign_up(platform.gateways[0])
    review = user.api.create_review(alice.api.create_movie())
    movie = user.api.create_movie()
    response = user.delete()
    assert response.status_code == 200, response.text
    assert response.json()["message"]
    return user, review, movie


def test_a_deleted_account_is_refused_at_once_where_it_was_deleted(gone: tuple[Account, int, int]) -> None:
    assert_error(gone[0].api.get("/api/auth/me"), 401)


def test_a_deleted_account_is_refused_at_every_gateway(
    platform: Platform, gone: tuple[Account, int, int]
) -> None:
    wait_until(
        lambda: all(
            Api(gateway, gone[0].token).post("/api/movies", {}).status_code == 401
            for gateway in platform.gateways
        ),
        EFFECT_SECONDS,
        "the token is refused at every gateway",
    )


def test_a_deleted_account_cannot_sign_in(anyone: Api, gone: tuple[Account, int, int]) -> None:
    login = {"email": gone[0].email, "password": PASSWORD}
    assert_error(anyone.post("/api/auth/login", login), 401, "Invalid email or password")


def test_a_deleted_account_is_not_found(anyone: Api, gone: tuple[Account, int, int]) -> None:
    assert_error(anyone.get(f"/api/users/{gone[0].id}"), 404, "User not found")


def test_the_reviews_of_a_deleted_account_stay_unsigned(anyone: Api, gone: tuple[Account, int, int]) -> None:
    _, review, _ = gone
    wait_until(
        lambda: get(anyone, f"/api/reviews/{review}")["user_id"] is None, EFFECT_SECONDS, "it is unsigned"
    )
    shown = get(anyone, f"/api/reviews/{review}")
    assert shown["username"] is None
    assert (shown["title"], shown["rating"]) == ("Superb", 8)
    movie = get(anyone, f"/api/movies/{shown['movie_id']}")
    assert (movie["review_count"], movie["average_rating"]) == (1, 8)


def test_the_movies_of_a_deleted_account_stay(anyone: Api, gone: tuple[Account, int, int]) -> None:
    assert get(anyone, f"/api/movies/{gone[2]}")["id"] == gone[2]


def test_status_says_that_the_database_is_connected(anyone: Api) -> None:
    assert get(anyone, "/api/auth/status") == {"status": "OK", "database": "Connected"}
