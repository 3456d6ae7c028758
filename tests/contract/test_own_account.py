"""One's own account: what takes the password, what a repetition gets, and under which name one is seen."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients import PASSWORD, Account, Api, Listener, sign_in, sign_up
from tests.contract.expect import EFFECT_SECONDS, assert_error, assert_message, get, unique
from tests.contract.test_idempotency import key
from tests.platforms import Platform
from tests.processes import wait_until

CHANGES = {
    "username": lambda: unique("renamed-")[:30],
    "email": lambda: f"{unique()}@example.com",
    "password": lambda: "another password",
}


# --- the current password


@pytest.mark.parametrize("field", CHANGES)
@pytest.mark.parametrize(
    "current", [{}, {"current_password": "not this one"}, {"current_password": ""}], ids=str
)
def test_no_change_without_the_current_password(gateway: str, field: str, current: dict[str, str]) -> None:
    user = sign_up(gateway)
    before = get(user.api, "/api/auth/me")
    response = user.api.patch("/api/auth/me", {field: CHANGES[field](), **current})
    assert_error(response, 400, fields={"current_password"})
    assert get(user.api, "/api/auth/me") == before
    assert sign_in(gateway, user.email).id == user.id


@pytest.mark.parametrize("value", [None, 5, True, ["x"], "x" * 257])
def test_what_is_no_current_password_is_refused(alice: Account, value: Any) -> None:
    body = {"email": f"{unique()}@example.com", "current_password": value}
    assert_error(alice.api.patch("/api/auth/me", body), 400, fields={"current_password"})
    if value is not None:
        body = {"current_password": value}
        response = alice.api.request("DELETE", "/api/auth/me", body)
        assert_error(response, 400, fields={"current_password"})


@pytest.mark.parametrize(
    "body",
    [None, {}, {"current_password": "not this one"}, {"current_password": ""}, {"password": PASSWORD}],
    ids=str,
)
def test_no_account_ends_without_the_current_password(gateway: str, anyone: Api, body: Any) -> None:
    user = sign_up(gateway)
    response = user.api.request("DELETE", "/api/auth/me", body)
    fields = {"current_password", "password"} if body and "password" in body else {"current_password"}
    assert_error(response, 400, fields=fields)
    assert get(anyone, f"/api/users/{user.id}")["username"] == user.username
    assert sign_in(gateway, user.email).id == user.id


def test_a_name_that_is_taken_is_not_told_to_whoever_has_but_the_token(alice: Account, bob: Account) -> None:
    body = {"username": bob.username, "current_password": "not this one"}
    assert_error(alice.api.patch("/api/auth/me", body), 400, fields={"current_password"})


def test_all_changes_at_once_with_the_password(gateway: str) -> None:
    user = sign_up(gateway)
    changes = {field: value() for field, value in CHANGES.items()}
    assert_message(user.change(**changes), "Profile updated successfully")
    again = sign_in(gateway, changes["email"], changes["password"])
    assert (again.id, again.username) == (user.id, changes["username"])


def test_a_deletion_sent_twice_over_to_the_end_says_the_same(gateway: str) -> None:
    user, header = sign_up(gateway), key()
    assert_message(user.delete(headers=header), "User deleted successfully")
    assert_error(user.delete(headers=header), 401)


# --- a login's key


def log_in(api: Api, user: Account, header: dict[str, str]) -> str:
    response = api.post("/api/auth/login", {"email": user.email, "password": user.password}, headers=header)
    assert_message(response, "Login successful")
    return str(response.json()["access_token"])


def by_logout(user: Account, token: str) -> None:
    assert Api(user.api.base, token).post("/api/auth/logout").status_code == 200


def by_a_new_password(user: Account, _token: str) -> None:
    assert user.change(password=PASSWORD).status_code == 200


@pytest.mark.parametrize("end", [by_logout, by_a_new_password])
def test_a_login_repeated_after_its_session_ended_begins_another(
    platform: Platform, anyone: Api, end: Callable[[Account, str], None]
) -> None:
    user, header = sign_up(platform.gateways[0]), key()
    first = log_in(anyone, user, header)
    assert log_in(anyone, user, header) == first
    end(user, first)
    second = log_in(anyone, user, header)
    assert second != first
    for gateway in platform.gateways:
        assert Api(gateway, second).get("/api/auth/me").status_code == 200
    assert log_in(anyone, user, header) == second
    ended = Api(anyone.base, first)
    wait_until(lambda: ended.get("/api/auth/me").status_code == 401, EFFECT_SECONDS, "its session has ended")
    assert_error(ended.get("/api/auth/me"), 401)


def test_a_login_repeated_after_the_end_of_the_account_is_refused(gateway: str, anyone: Api) -> None:
    user, header = sign_up(gateway), key()
    log_in(anyone, user, header)
    user.delete()
    login = {"email": user.email, "password": user.password}
    assert_error(anyone.post("/api/auth/login", login, headers=header), 401, "Invalid email or password")


def test_a_login_repeated_after_a_change_of_name_bears_the_new_one(gateway: str, anyone: Api) -> None:
    user, header, name = sign_up(gateway), key(), CHANGES["username"]()
    log_in(anyone, user, header)
    assert user.change(username=name).status_code == 200
    body = {"email": user.email, "password": user.password}
    assert anyone.post("/api/auth/login", body, headers=header).json()["user"] == name


# --- the name


def names_in(listener: Listener, room: str) -> list[str]:
    return list(listener.call("room_presence", room_id=room)["users"])


def test_sockets_show_the_new_name_whether_they_are_open_or_new(
    platform: Platform, movie: int, nobodys: Listener
) -> None:
    user, room = sign_up(platform.gateways[0]), str(movie)
    with Listener(platform.notifiers[-1], user.token) as old:
        old.call("join_notification", user_id=user.id, room_id=room)
        wait_until(
            lambda: names_in(nobodys, room) == [user.username], EFFECT_SECONDS, "the old name is there"
        )
        name = CHANGES["username"]()
        assert user.change(username=name).status_code == 200
        wait_until(lambda: names_in(nobodys, room) == [name], EFFECT_SECONDS, "the socket shows the new name")
    for notifier in platform.notifiers:
        with Listener(notifier, user.token) as new:
            new.call("join_notification", user_id=user.id, room_id=room)
            wait_until(lambda new=new: names_in(new, room) == [name], EFFECT_SECONDS, "a new one shows it")


def test_a_review_with_the_token_of_before_bears_the_new_name(
    platform: Platform, anyone: Api, movie: int
) -> None:
    user, name = sign_up(platform.gateways[0]), CHANGES["username"]()
    assert user.change(username=name).status_code == 200
    for gateway in platform.gateways:
        api = Api(gateway, user.token)
        review = api.create_review(movie)
        wait_until(
            lambda review=review: get(anyone, f"/api/reviews/{review}")["username"] == name,
            EFFECT_SECONDS,
            "the review bears the new name",
        )
        api.delete(f"/api/reviews/{review}")


# --- nobody learns who has an account


def test_an_unknown_address_takes_as_long_as_a_known_one(gateway: str, anyone: Api) -> None:
    def seconds(email: str, password: str) -> float:
        began = time.perf_counter()
        response = anyone.post("/api/auth/login", {"email": email, "password": password})
        assert_error(response, 401, "Invalid email or password")
        return time.perf_counter() - began

    # Some of each, since nobody is told much about one account.
    users = [sign_up(gateway) for _ in range(5)]
    for password in ("not this one", "auch nicht dieses, würde ich sagen"):
        known, unknown, none = ([] for _ in range(3))
        for _ in range(4):
            for user in users:
                known.append(seconds(user.email, password))
                unknown.append(seconds(f"nobody-{unique()}@example.com", password))
                none.append(seconds(f"no address {unique()}", password))
        of_known = statistics.median(known)
        for others in (unknown, none):
            assert statistics.median(others) < 2 * of_known
            assert of_known < 2 * statistics.median(others)
