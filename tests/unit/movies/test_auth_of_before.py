"""Auth of the release before tells of accounts one by one."""

from __future__ import annotations

from typing import Any

from nameko.exceptions import MethodNotFound

from broker.errors import NotFound
from broker.tokens import Confirmation
from movies.accounts import RemoteAuth

PROFILES = {1: "ann", 2: "bob"}


def of_before(method: str, args: list[Any], _kwargs: dict[str, Any]) -> Any:
    match method:
        case "auth.verification":
            return {"keys": [], "revoked": [], "staff": [{"user_id": 2, "role": "moderator"}]}
        case "auth.public_profile":
            if args[0] not in PROFILES:
                raise NotFound("User not found")
            return {"id": args[0], "username": PROFILES[args[0]], "joined": "2026-01-01T00:00:00Z"}
    raise MethodNotFound(method)


def test_those_that_there_are_are_told_with_their_roles() -> None:
    users = Confirmation.of(RemoteAuth(of_before).confirm([1, 2, 3])).users
    assert [(each.id, each.username, each.role) for each in users] == [
        (1, "ann", "user"),
        (2, "bob", "moderator"),
    ]


def test_auth_of_this_release_is_asked_once() -> None:
    asked: list[str] = []

    def of_now(method: str, _args: list[Any], _kwargs: dict[str, Any]) -> Any:
        asked.append(method)
        return {"users": [], "sessions": []}

    RemoteAuth(of_now).confirm([1, 2, 3])
    assert asked == ["auth.confirm"]
