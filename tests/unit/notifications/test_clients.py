"""Who is connected: by socket, by user, by room."""

from __future__ import annotations

import pytest

from broker.tokens import Identity
from notifications.clients import Clients
from notifications.domain import Attendance, Refusal
from notifications.handlers import Client


def client(sid: str, user_id: int | None = None) -> Client:
    identity = Identity(user_id, f"name-{user_id}", f"session-{sid}", 4_000_000_000) if user_id else None
    return Client(sid, identity)


@pytest.fixture
def rooms() -> dict[str, list[str]]:
    """The sockets in each room."""
    return {}


@pytest.fixture
def clients(rooms: dict[str, list[str]]) -> Clients:
    return Clients(lambda room: rooms.get(room, []), most_of_user=2)


def test_a_client_is_known_from_its_connection_to_its_end(clients: Clients) -> None:
    guest = client("g")
    clients.add(guest)
    assert clients.of("g") is guest
    clients.remove("g")
    clients.remove("g")
    assert clients.of("g") is None


def test_a_user_has_as_many_connections_as_one_may_have_and_no_more(clients: Clients) -> None:
    for sid in ("a", "b"):
        clients.add(client(sid, 7))
    with pytest.raises(Refusal, match="2 connections") as caught:
        clients.add(client("c", 7))
    assert caught.value.code == "too_many_connections"
    assert clients.of("c") is None
    clients.add(client("d", 8))
    clients.remove("a")
    clients.add(client("c", 7))
    assert {one.sid for one in clients.of_user(7)} == {"b", "c"}


def test_those_without_a_token_are_nobodys_connections(clients: Clients) -> None:
    for sid in "abc":
        clients.add(client(sid))
    assert clients.signed_in() == []


def test_those_signed_in_are_all_users_connections(clients: Clients) -> None:
    for sid, user_id in {"a": 7, "b": 7, "c": 8, "d": None}.items():
        clients.add(client(sid, user_id))
    assert {one.sid for one in clients.signed_in()} == {"a", "b", "c"}
    for sid in "abc":
        clients.remove(sid)
    assert clients.signed_in() == []
    assert clients.of_user(7) == []


def test_a_room_has_its_sockets_and_the_names_of_those_signed_in(
    clients: Clients, rooms: dict[str, list[str]]
) -> None:
    for sid, user_id in {"a": 8, "b": 7, "c": 8, "d": None}.items():
        clients.add(client(sid, user_id))
    rooms["42"] = ["a", "b", "c", "d", "gone"]
    assert clients.in_room("42") == Attendance(4, ("name-7", "name-8"))
    assert clients.in_room("43") == Attendance(0)
